#include "runtime/runner/status_print.h"

#include "runtime/protocol/control.h"

#include <apr_strings.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How long the runner may take for an answer, in milliseconds. */
#define PATIENCE 5000

#define NUMBER 1

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

/* Connects to a socket, whose path the configuration has checked. Returns 0 or an errno. */
static int connect_to(const char *control, int *connection)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (*connection < 0) {
        return errno;
    }
    memcpy(address.sun_path, control, strlen(control));
    return connect(*connection, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

/* Sends HELLO and STATUS. Returns 0 or an errno. */
static int ask(int connection)
{
    static const char hello[] = "{\"version\":" TEXT(SF_PROTOCOL_VERSION) "}";
    const sf_control_message greeting = { SF_CONTROL_HELLO, 0, hello, sizeof(hello) - 1, -1 };
    const sf_control_message question = { SF_CONTROL_STATUS, NUMBER, "", 0, -1 };
    const int error = sf_control_send(connection, &greeting);

    return error ? error : sf_control_send(connection, &question);
}

/* Waits for the answer. Returns 0 or an errno. */
static int receive(int connection, unsigned char packet[SF_CONTROL_PACKET + 1],
                   sf_control_message *message)
{
    struct pollfd polled = { connection, POLLIN, 0 };
    int error;

    do {
        if (poll(&polled, 1, PATIENCE) <= 0) {
            return ETIMEDOUT;
        }
        error = sf_control_receive(connection, packet, message);
        if (!error && message->descriptor >= 0) {
            close(message->descriptor);
        }
    } while (!error && message->type != SF_CONTROL_STATUS);
    return error;
}

const char *sf_status_print(apr_pool_t *pool, const char *control)
{
    unsigned char *packet = apr_palloc(pool, SF_CONTROL_PACKET + 1);
    sf_control_message message;
    int connection;
    int error = connect_to(control, &connection);

    error = error ? error : ask(connection);
    error = error ? error : receive(connection, packet, &message);
    if (connection >= 0) {
        close(connection);
    }
    if (error == EPIPE || error == ECONNRESET) {
        return apr_pstrcat(pool, "the runner at ", control,
                           " has refused this user: it needs a Client line", NULL);
    }
    if (error) {
        return apr_pstrcat(pool, "the runner at ", control, ": ", strerror(error), NULL);
    }
    return puts(message.payload) >= 0 && fflush(stdout) == 0 ? NULL : "cannot write the status";
}
