/* The control connection of one child: messages in, messages out. */
#ifndef SF_CONNECTION_H
#define SF_CONNECTION_H

#include "runtime/protocol/control.h"
#include "runtime/runner/loop.h"

#include <apr_ring.h>
#include <sys/types.h>

typedef struct sf_packet sf_packet;

typedef struct sf_connection {
    APR_RING_ENTRY(sf_connection) link;
    apr_pool_t *pool;
    sf_loop *loop;
    sf_watch watch;
    pid_t pid;                        /* of the child, for the log */
    int is_greeted;                   /* HELLO was received */
    int pings;                        /* sent since the child's last message */
    const char *failure;              /* why the connection is to be closed, or NULL */
    APR_RING_HEAD(, sf_packet) queue; /* packets that the socket does not take yet */
    apr_pool_t *queue_pool;
    int queued;
} sf_connection;

/* Makes a connection of an accepted socket, which is closed with the pool, and watches it; the caller
 * sets the function and the data of `watch`. Returns APR_SUCCESS or the error. */
apr_status_t sf_connection_make(apr_pool_t *pool, sf_loop *loop, int fd,
                                sf_connection **connection);

/* Receives one message, with its payload in `packet`; a descriptor beside it is closed. Returns APR_SUCCESS;
 * APR_EAGAIN if there is none; else sets `failure` ("" where the child has closed the connection) and returns
 * APR_EOF. */
apr_status_t sf_connection_receive(sf_connection *connection,
                                   unsigned char packet[SF_CONTROL_PACKET + 1],
                                   sf_control_message *message);

/* Sends a message; its descriptor stays open here. What the socket does not take is sent later. Sets `failure`
 * where that is too much, or the child has gone. */
void sf_connection_send(sf_connection *connection, const sf_control_message *message);

/* Sends a message with a text, which is cut where it is too long. */
void sf_connection_send_text(sf_connection *connection, sf_control_type type, apr_uint32_t number,
                             const char *text);

/* Sends what has been queued, when the socket is ready again. */
void sf_connection_flush(sf_connection *connection);

#endif
