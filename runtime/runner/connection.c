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
    sf_control_message message; /* its descriptor is a duplicate of the packet's own */
    char payload[];
};

static void close_descriptor(const sf_packet *packet)
{
    if (packet->message.descriptor >= 0) {
        close(packet->message.descriptor);
    }
}

static apr_status_t close_connection(void *data)
{
    sf_connection *connection = data;
    sf_packet *packet;

    APR_RING_FOREACH(packet, &connection->queue, sf_packet, link)
    {
        close_descriptor(packet);
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

apr_status_t sf_connection_receive(sf_connection *connection,
                                   unsigned char packet[SF_CONTROL_PACKET + 1],
                                   sf_control_message *message)
{
    const int error = sf_control_receive(connection->watch.fd, packet, message);

    if (error == 0) {
        if (message->descriptor >= 0) {
            close(message->descriptor);
        }
        return APR_SUCCESS;
    }
    if (error == EAGAIN) {
        return APR_EAGAIN;
    }
    connection->failure = error == EPROTO ? "a packet that is no message" : "";
    return APR_EOF;
}


/* Sending ------------------------------------------------------------------------------------- */

/* Queues a message until the socket takes it. */
static void queue_message(sf_connection *connection, const sf_control_message *message)
{
    sf_packet *packet = apr_palloc(connection->queue_pool, sizeof(*packet) + message->length);

    memcpy(packet->payload, message->payload, message->length);
    packet->message = *message;
    packet->message.payload = packet->payload;
    if (message->descriptor >= 0) {
        packet->message.descriptor = fcntl(message->descriptor, F_DUPFD_CLOEXEC, 0);
    }
    APR_RING_INSERT_TAIL(&connection->queue, packet, sf_packet, link);
    if (connection->queued++ == 0) {
        sf_loop_change(connection->loop, &connection->watch, EPOLLIN | EPOLLOUT);
    }
    if (connection->queued > QUEUE_MAX
        || (message->descriptor >= 0 && packet->message.descriptor < 0)) {
        connection->failure = "the child does not read its messages";
    }
}

void sf_connection_send(sf_connection *connection, const sf_control_message *message)
{
    int error = EAGAIN;

    if (connection->failure) {
        return;
    }
    if (connection->queued == 0) {
        error = sf_control_send(connection->watch.fd, message);
    }
    if (error == EAGAIN) {
        queue_message(connection, message);
    }
    else if (error != 0) {
        connection->failure = "";
    }
}

void sf_connection_send_text(sf_connection *connection, sf_control_type type, apr_uint32_t number,
                             const char *text)
{
    const size_t length = strlen(text);
    const sf_control_message message
        = { .type = type,
            .number = number,
            .payload = text,
            .length = length < SF_CONTROL_PAYLOAD ? length : SF_CONTROL_PAYLOAD,
            .descriptor = NO_DESCRIPTOR };

    sf_connection_send(connection, &message);
}

void sf_connection_flush(sf_connection *connection)
{
    while (connection->queued > 0) {
        sf_packet *packet = APR_RING_FIRST(&connection->queue);
        const int error = sf_control_send(connection->watch.fd, &packet->message);

        if (error == EAGAIN) {
            return;
        }
        if (error != 0) {
            connection->failure = "";
            return;
        }
        APR_RING_REMOVE(packet, link);
        connection->queued--;
        close_descriptor(packet);
    }
    apr_pool_clear(connection->queue_pool);
    sf_loop_change(connection->loop, &connection->watch, EPOLLIN);
}
