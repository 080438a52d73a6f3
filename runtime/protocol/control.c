#include "runtime/protocol/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for the descriptors of a packet: one, and one more, which is refused. */
#define DESCRIPTORS_MAX 2

typedef union {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
} ancillary;

static uint32_t get(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void put_header(unsigned char to[SF_CONTROL_HEADER], sf_control_type type, uint32_t number)
{
    to[0] = (unsigned char)type;
    to[1] = (unsigned char)(number >> 24);
    to[2] = (unsigned char)(number >> 16);
    to[3] = (unsigned char)(number >> 8);
    to[4] = (unsigned char)number;
}

/* Puts a descriptor into the message. */
static void attach(struct msghdr *message, ancillary *control, int descriptor)
{
    struct cmsghdr *header;

    memset(control, 0, sizeof(*control));
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(descriptor));
    header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(descriptor));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(descriptor));
}

int sf_control_send(int socket, const sf_control_message *message)
{
    unsigned char header[SF_CONTROL_HEADER];
    struct iovec pieces[]
        = { { header, sizeof(header) }, { (void *)message->payload, message->length } };
    struct msghdr sent = { .msg_iov = pieces, .msg_iovlen = 2 };
    ancillary control;
    ssize_t size;

    if (message->length > SF_CONTROL_PAYLOAD) {
        return EMSGSIZE;
    }
    put_header(header, message->type, message->number);
    if (message->descriptor >= 0) {
        attach(&sent, &control, message->descriptor);
    }
    do {
        size = sendmsg(socket, &sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? errno : 0;
}

/* Takes the descriptors of a packet. Returns one of them, or -1, and their number in `count`. All but the one
 * that is returned are closed. */
static int detach(struct msghdr *message, int *count)
{
    struct cmsghdr *header;
    int taken = -1;

    *count = 0;
    for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        const unsigned char *at = CMSG_DATA(header);
        const unsigned char *end = (const unsigned char *)header + header->cmsg_len;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (; at + sizeof(int) <= end; at += sizeof(int)) {
            if (taken >= 0) {
                close(taken);
            }
            memcpy(&taken, at, sizeof(taken));
            ++*count;
        }
    }
    return taken;
}

int sf_control_receive(int socket, unsigned char packet[SF_CONTROL_PACKET + 1],
                       sf_control_message *message)
{
    struct iovec piece = { packet, SF_CONTROL_PACKET };
    ancillary control;
    struct msghdr received = { .msg_iov = &piece,
                               .msg_iovlen = 1,
                               .msg_control = control.bytes,
                               .msg_controllen = sizeof(control.bytes) };
    ssize_t size;
    int count;

    do {
        size = recvmsg(socket, &received, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size <= 0) {
        return size == 0 ? EPIPE : errno;
    }
    message->descriptor = detach(&received, &count);
    if (size < SF_CONTROL_HEADER || count > 1 || received.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        if (message->descriptor >= 0) {
            close(message->descriptor);
        }
        return EPROTO;
    }
    packet[size] = '\0';
    message->type = packet[0];
    message->number = get(packet + 1);
    message->payload = packet + SF_CONTROL_HEADER;
    message->length = (size_t)size - SF_CONTROL_HEADER;
    return 0;
}
