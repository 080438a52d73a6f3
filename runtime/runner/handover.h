/* Handing over to a new runner, with the program and the configuration of now. The old runner starts the new one as
 * a child, with a socket between them: the new one says that it has the control socket, and sees there when the
 * old one has ended. */
#ifndef SF_HANDOVER_H
#define SF_HANDOVER_H

#include "runtime/runner/loop.h"

typedef struct {
    pid_t pid;  /* of the new runner, or 0 */
    int socket; /* to the other runner, or -1 */
    int lock;   /* of the cache's folder: inherited, or -1 */
} sf_handover;

/* Reads what the environment says about the old runner, of which this one is to take over; without any, both
 * descriptors are -1. */
void sf_handover_inherit(sf_handover *handover);

/* Starts the new runner: the same program with the same arguments, which inherits the lock. Returns NULL or a
 * message. */
const char *sf_handover_start(sf_handover *handover, char *const *arguments, int lock);

/* Kills the new runner, which has not started, and reaps it. */
void sf_handover_abort(sf_handover *handover);

/* Tells the old runner that this one has the control socket. */
void sf_handover_ready(const sf_handover *handover);

/* Receives what the other runner says. Returns 1 for "ready", 0 where it has ended. */
int sf_handover_receive(sf_handover *handover);

#endif
