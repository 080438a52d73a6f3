#include "runtime/protocol/runner_link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How long a message waits for room, in milliseconds. */
#define SEND_PATIENCE 1000

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

apr_status_t sf_runner_link_open(sf_runner_link *link, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (made < 0) {
        return errno;
    }
    memcpy(address.sun_path, path, strlen(path)); /* the directive has checked the length */
    if (connect(made, (struct sockaddr *)&address, sizeof(address)) != 0) {
        const apr_status_t rv = errno;

        close(made);
        return rv;
    }
    memset(link, 0, sizeof(*link));
    link->socket = made;
    sf_runner_link_say(link, SF_CONTROL_HELLO, 0, "{\"version\":" TEXT(SF_PROTOCOL_VERSION) "}");
    return APR_SUCCESS;
}

/* Waits for events of the connection. Returns those that there are: 0 where none comes within a time in milliseconds. */
static int wait_for(const sf_runner_link *link, short events, int milliseconds)
{
    struct pollfd polled = { link->socket, events, 0 };
    int ready;

    do {
        ready = poll(&polled, 1, milliseconds);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? polled.revents : 0;
}

int sf_runner_link_wait(const sf_runner_link *link, int milliseconds)
{
    return (wait_for(link, POLLOUT, milliseconds) & (POLLOUT | POLLERR | POLLHUP)) == POLLOUT;
}

int sf_runner_link_send(sf_runner_link *link, sf_control_type type, uint32_t number,
                        const void *payload, size_t length)
{
    const sf_control_message message = { type, number, payload, length, -1 };
    int error = sf_control_send(link->socket, &message);

    if (error == EAGAIN && sf_runner_link_wait(link, SEND_PATIENCE)) {
        error = sf_control_send(link->socket, &message);
    }
    if (error) {
        shutdown(link->socket, SHUT_RDWR);
    }
    return error == 0;
}

int sf_runner_link_say(sf_runner_link *link, sf_control_type type, uint32_t number,
                       const char *text)
{
    return sf_runner_link_send(link, type, number, text, strlen(text));
}

int sf_runner_link_receive(const sf_runner_link *link, int milliseconds,
                           unsigned char packet[SF_CONTROL_PACKET + 1], sf_control_message *message)
{
    int error;

    if (milliseconds <= 0 || !wait_for(link, POLLIN, milliseconds)) {
        return EAGAIN;
    }
    error = sf_control_receive(link->socket, packet, message);
    if (!error && message->descriptor >= 0) {
        close(message->descriptor);
        message->descriptor = -1;
    }
    return error;
}
