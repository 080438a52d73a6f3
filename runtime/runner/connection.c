#include "runtime/runner/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Packets that may wait for a child. */
#define QUEUE_MAX 10000

#define NO_DESCRIPTOR (-1)

struct sf_packet {
    APR_RING_ENTRY(sf_packet) link;
    int fd; /* a duplicate of the packet's own, or NO_DESCRIPTOR */
    apr_size_t length;
    char bytes[];
};

static apr_status_t close_connection(void *data)
{
    sf_connection *connection = data;
    sf_packet *packet;

    APR_RING_FOREACH (packet, &connection->queue, sf_packet, link) {
        if (packet->fd != NO_DESCRIPTOR) {
            close(packet->fd);
        }
    }
    sf_loop_remove(connection->loop, &connection->watch);
    close(connection->watch.fd);
    return APR_SUCCESS;
}

static pid_t process_of_peer(int fd)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.pid
                                                                               : 0;
}

apr_status_t sf_connection_make(apr_pool_t *pool, sf_loop *loop, int fd, sf_connection **connection)
{
    sf_connection *made = apr_pcalloc(pool, sizeof(*made));

    made->pool = pool;
    made->loop = loop;
    made->watch.fd = fd;
    made->pid = process_of_peer(fd);
    APR_RING_INIT(&made->queue, sf_packet, link);
    apr_pool_create(&made->queue_pool, pool);
    apr_pool_pre_cleanup_register(pool, made, close_connection);
    *connection = made;
    return sf_loop_add(loop, &made->watch, EPOLLIN);
}


/* Receiving ----------------------------------------------------------------------------------- */

static apr_uint32_t read_u32(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;

    return ((apr_uint32_t)b[0] << 24) | ((apr_uint32_t)b[1] << 16) | ((apr_uint32_t)b[2] << 8) | b[3];
}

static void write_u32(char *bytes, apr_uint32_t value)
{
    bytes[0] = (char)(value >> 24);
    bytes[1] = (char)(value >> 16);
    bytes[2] = (char)(value >> 8);
    bytes[3] = (char)value;
}

static apr_status_t fail(sf_connection *connection, const char *failure)
{
    connection->failure = failure;
    return APR_EOF;
}

apr_status_t sf_connection_receive(sf_connection *connection, char *buffer, sf_message *message)
{
    ssize_t length;

    do {
        length = recv(connection->watch.fd, buffer, SF_CONTROL_PACKET, MSG_DONTWAIT | MSG_TRUNC);
    } while (length < 0 && errno == EINTR);
    if (length < 0 && errno == EAGAIN) {
        return APR_EAGAIN;
    }
    if (length <= 0) {
        return fail(connection, "");
    }
    if (length < SF_CONTROL_HEADER || length > SF_CONTROL_PACKET) {
        return fail(connection, "a packet of a wrong length");
    }
    buffer[length] = '\0';
    message->type = (unsigned char)buffer[0];
    message->number = read_u32(buffer + 1);
    message->payload = buffer + SF_CONTROL_HEADER;
    message->length = (apr_size_t)length - SF_CONTROL_HEADER;
    return APR_SUCCESS;
}


/* Sending ------------------------------------------------------------------------------------- */

/* Adds the descriptor to the header of a packet. */
static void add_descriptor(struct msghdr *header, char *space, size_t size, int fd)
{
    struct cmsghdr *control;

    header->msg_control = space;
    header->msg_controllen = size;
    control = CMSG_FIRSTHDR(header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(control), &fd, sizeof(fd));
}

/* Sends a packet. Returns APR_SUCCESS, APR_EAGAIN, or the error. */
static apr_status_t send_packet(const sf_connection *connection, char *bytes, apr_size_t length,
                                int fd)
{
    char space[CMSG_SPACE(sizeof(fd))] = { 0 };
    struct iovec vector = { bytes, length };
    struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };

    if (fd != NO_DESCRIPTOR) {
        add_descriptor(&header, space, sizeof(space), fd);
    }
    while (sendmsg(connection->watch.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

/* Queues a packet until the socket takes it. */
static void queue_packet(sf_connection *connection, const char *bytes, apr_size_t length, int fd)
{
    sf_packet *packet = apr_palloc(connection->queue_pool, sizeof(*packet) + length);

    packet->fd = fd == NO_DESCRIPTOR ? NO_DESCRIPTOR : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
    APR_RING_INSERT_TAIL(&connection->queue, packet, sf_packet, link);
    if (connection->queued++ == 0) {
        sf_loop_change(connection->loop, &connection->watch, EPOLLIN | EPOLLOUT);
    }
    if (connection->queued > QUEUE_MAX || (fd != NO_DESCRIPTOR && packet->fd < 0)) {
        connection->failure = "the child does not read its messages";
    }
}

void sf_connection_send(sf_connection *connection, const sf_message *message, int fd)
{
    char packet[SF_CONTROL_PACKET];
    const apr_size_t length = SF_CONTROL_HEADER + message->length;
    apr_status_t rv = APR_EAGAIN;

    if (connection->failure) {
        return;
    }
    packet[0] = (char)message->type;
    write_u32(packet + 1, message->number);
    memcpy(packet + SF_CONTROL_HEADER, message->payload, message->length);
    if (connection->queued == 0) {
        rv = send_packet(connection, packet, length, fd);
    }
    if (APR_STATUS_IS_EAGAIN(rv)) {
        queue_packet(connection, packet, length, fd);
    }
    else if (rv != APR_SUCCESS) {
        connection->failure = "";
    }
}

void sf_connection_send_text(sf_connection *connection, unsigned int type, apr_uint32_t number,
                             const char *text)
{
    apr_size_t length = strlen(text);
    sf_message message = { type, number, text, 0 };

    message.length = length < SF_CONTROL_PACKET - SF_CONTROL_HEADER
                         ? length
                         : SF_CONTROL_PACKET - SF_CONTROL_HEADER;
    sf_connection_send(connection, &message, NO_DESCRIPTOR);
}

void sf_connection_flush(sf_connection *connection)
{
    while (connection->queued > 0) {
        sf_packet *packet = APR_RING_FIRST(&connection->queue);
        const apr_status_t rv = send_packet(connection, packet->bytes, packet->length, packet->fd);

        if (APR_STATUS_IS_EAGAIN(rv)) {
            return;
        }
        if (rv != APR_SUCCESS) {
            connection->failure = "";
            return;
        }
        APR_RING_REMOVE(packet, link);
        connection->queued--;
        if (packet->fd != NO_DESCRIPTOR) {
            close(packet->fd);
        }
    }
    apr_pool_clear(connection->queue_pool);
    sf_loop_change(connection->loop, &connection->watch, EPOLLIN);
}
