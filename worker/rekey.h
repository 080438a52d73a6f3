/* Encrypts Variables anew when the administrator has changed the key. */
#ifndef SF_REKEY_H
#define SF_REKEY_H

#include "core/caller.h"

/* Takes care of up to a hundred values of the caller's database that are encrypted with another of the
 * server's keys than the first, which they are encrypted with then; what somebody changes meanwhile is
 * left alone. Returns how many there are less now, so that 0 means that nothing is left to do, or -1
 * where the database fails, which has been logged. Any number of processes may be at it at once. */
int sf_variables_rekey(const sf_caller *caller);

#endif
