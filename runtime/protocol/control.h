/* Messages on the control connection, as runtime/README.md describes them, each in a packet of its own, with a
 * descriptor where it has one. httpd and the runner share this file; it needs neither httpd nor APR. */
#ifndef SF_CONTROL_H
#define SF_CONTROL_H

#include "runtime/protocol/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* The most bytes of a payload. */
#define SF_CONTROL_PAYLOAD (SF_CONTROL_PACKET - SF_CONTROL_HEADER)

typedef struct {
    sf_control_type type;
    uint32_t number;
    const void *payload;
    size_t length;  /* of the payload */
    int descriptor; /* -1: none */
} sf_control_message;

/* Sends a message without waiting. A descriptor stays open here. Returns 0, or an errno: EAGAIN where there is
 * no room, EPIPE or ECONNRESET where the connection has ended, EMSGSIZE for a payload that is too long. */
int sf_control_send(int socket, const sf_control_message *message);

/* Receives a message into `packet`, without waiting. The payload is in `packet`, with a NUL behind it; a
 * descriptor belongs to the caller, and is closed by exec. Returns 0, or an errno: EAGAIN where none is there,
 * EPIPE where the connection has ended, EPROTO for a packet that is no message: it is too short or too long, or
 * has several descriptors. */
int sf_control_receive(int socket, unsigned char packet[SF_CONTROL_PACKET + 1],
                       sf_control_message *message);

#endif
