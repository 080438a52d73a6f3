/* The two protocols of calls, as runtime/README.md describes them: types and bounds. */
#ifndef SF_PROTOCOL_H
#define SF_PROTOCOL_H

#define SF_PROTOCOL_VERSION 1

/* The descriptor of the line in an isolate. */
#define SF_LINE_DESCRIPTOR 3

/* Frames on a line: u32 length, u8 type, u32 call, payload. The length counts type and call. */
typedef enum {
    SF_FRAME_CALL = 1,
    SF_FRAME_READY,
    SF_FRAME_LOG,
    SF_FRAME_ANSWER,
    SF_FRAME_BAD_REQUEST,
    SF_FRAME_IDLE
} sf_frame_type;

#define SF_FRAME_LENGTH 4 /* bytes of `length` */
#define SF_FRAME_HEADER 5 /* bytes of type and call */

/* Messages on the control connection: u8 type, u32 number, payload; one in a packet. */
typedef enum {
    SF_CONTROL_HELLO = 1,
    SF_CONTROL_LEASE,
    SF_CONTROL_CANCEL,
    SF_CONTROL_LINE,
    SF_CONTROL_REFUSED,
    SF_CONTROL_MISSING,
    SF_CONTROL_FILE,
    SF_CONTROL_DATA,
    SF_CONTROL_STORE,
    SF_CONTROL_ABANDON,
    SF_CONTROL_RETURN,
    SF_CONTROL_KILL,
    SF_CONTROL_GIVE,
    SF_CONTROL_GONE,
    SF_CONTROL_WARM,
    SF_CONTROL_STATUS,
    SF_CONTROL_LEAVE,
    SF_CONTROL_PING,
    SF_CONTROL_INSTALL,
    SF_CONTROL_INSTALLED,
    SF_CONTROL_HELD,
    SF_CONTROL_DELIVERED,
    SF_CONTROL_LONG
} sf_control_type;

#define SF_CONTROL_HEADER 5     /* bytes of type and number */
#define SF_CONTROL_PACKET 65536 /* bytes of a message, at most */

/* The number of calls after which an isolate ends: up to an eighth less than `most`, by a hash of its number, so that
 * isolates that share the calls of an Environment do not all end at once. */
#define SF_ISOLATE_CALLS(most, isolate)                                                            \
    ((most) - (uint32_t)((isolate)*UINT32_C(2654435761)) % ((most) / 8 + 1))

/* How long the runner keeps a lease after the end of its `wait`, until which the child says CANCEL. */
#define SF_KEPT_SECONDS 1

/* How long a lease that is HELD waits for its Build to be delivered: received, unpacked and checked. */
#define SF_DELIVERY_SECONDS 60

#endif
