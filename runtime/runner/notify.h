/* Messages to systemd, by the protocol of sd_notify(3). */
#ifndef SF_NOTIFY_H
#define SF_NOTIFY_H

/* Sends a state ("READY=1") to the socket that NOTIFY_SOCKET names. Without it, does nothing. */
void sf_notify(const char *state);

#endif
