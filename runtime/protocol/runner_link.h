/* A control connection to the runner, as a child of httpd has it. */
#ifndef SF_RUNNER_LINK_H
#define SF_RUNNER_LINK_H

#include "runtime/protocol/control.h"

#include <apr_errno.h>
#include <apr_ring.h>

typedef struct sf_runner_link {
    APR_RING_ENTRY(sf_runner_link) entry;
    int socket;
    int is_greeted;      /* the runner has answered HELLO */
    int takes_long;      /* the runner knows the message LONG */
    int leaving;         /* the runner grants no further leases on it */
    int is_lost;         /* it has ended */
    int users;           /* threads that need this struct to stay */
    int lines;           /* leased over it, and neither returned nor killed */
    uint32_t last_lease; /* the number of the last lease */
} sf_runner_link;

/* Connects to the runner's socket, and says HELLO. Returns APR_SUCCESS or the error of the system. */
apr_status_t sf_runner_link_open(sf_runner_link *link, const char *path);

/* Sends a message. Where the runner does not read for a second, or is away, the connection is shut down, which
 * sf_control_receive() tells then. Returns whether the message was sent. */
int sf_runner_link_send(sf_runner_link *link, sf_control_type type, uint32_t number,
                        const void *payload, size_t length);

/* The same with a text as payload. */
int sf_runner_link_say(sf_runner_link *link, sf_control_type type, uint32_t number,
                       const char *text);

/* Waits for the next message, for a time in milliseconds, and receives it as sf_control_receive() does. A descriptor that comes
 * with it is closed. Returns 0, or an errno: EAGAIN where none has come in time, or no time is left. */
int sf_runner_link_receive(const sf_runner_link *link, int milliseconds,
                           unsigned char packet[SF_CONTROL_PACKET + 1],
                           sf_control_message *message);

/* Waits until three quarters of the connection's buffer are empty: a message of any size finds room then, and
 * leaves some. Returns 0 where that does not happen within a time in milliseconds, or the connection has
 * ended. */
int sf_runner_link_wait(const sf_runner_link *link, int milliseconds);

#endif
