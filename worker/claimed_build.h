/* A Build that a worker of this node has a lease of: how the lease is kept and ended. */
#ifndef SF_CLAIMED_BUILD_H
#define SF_CLAIMED_BUILD_H

#include "core/caller.h"
#include "core/sid.h"

typedef struct {
    sf_caller caller;
    const char *service; /* uuids */
    const char *id;
    const char *lease;
    const char *runtime;
    const char *dependencies; /* JSON: an array of objects with name and version */
    char sid[SF_SID_LENGTH + 1];
    apr_time_t deadline; /* of the compile check */
    const char *failure; /* an error message for its owner, or NULL */
} sf_claimed_build;

/* Writes the Build's result, unless it was deleted or another worker has a lease of it by now. The log does not have
 * the failure itself: it may quote sources. */
void sf_claimed_build_finish(const sf_claimed_build *build);

/* Lets the lease last for so many seconds from now on. Returns 0 where it does not hold any more, or the database
 * does not answer. */
int sf_claimed_build_extend(const sf_claimed_build *build, const char *seconds);

/* Ends the lease early: any worker can take the Build at once, and the lease does not count. */
void sf_claimed_build_release(const sf_claimed_build *build);

#endif
