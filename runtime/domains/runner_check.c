#include "runtime/domains/runner_check.h"

#include "core/clock.h"
#include "core/config.h"
#include "runtime/protocol/runner_link.h"

#include <apr_strings.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long the runner may take for its answer. */
#define PATIENCE apr_time_from_msec(500)

/* A runner that hands over closes the connections that it has not answered: the new one is asked, too. */
#define ATTEMPTS 2

/* Waits for a message until a deadline. Returns 0, or an errno. */
static int receive(const sf_runner_link *link, unsigned char packet[SF_CONTROL_PACKET + 1],
                   sf_control_message *message)
{
    const apr_time_t deadline = sf_clock_now() + PATIENCE;
    struct pollfd polled = { link->socket, POLLIN, 0 };
    int error = sf_control_receive(link->socket, packet, message);

    while (error == EAGAIN && sf_clock_now() < deadline) {
        poll(&polled, 1, (int)apr_time_as_msec(deadline - sf_clock_now()) + 1);
        error = sf_control_receive(link->socket, packet, message);
    }
    return error;
}

/* Reads HELLO of the runner. */
static apr_status_t read_hello(const sf_control_message *message,
                               char isolation[SF_ISOLATION_BYTES])
{
    json_object *hello = json_tokener_parse(message->payload);
    json_object *version = NULL;
    json_object *level = NULL;
    apr_status_t rv = APR_EMISMATCH;

    json_object_object_get_ex(hello, "version", &version);
    if (message->type == SF_CONTROL_HELLO && json_object_get_int(version) == SF_PROTOCOL_VERSION
        && json_object_object_get_ex(hello, "isolation", &level)) {
        apr_cpystrn(isolation, json_object_get_string(level), SF_ISOLATION_BYTES);
        rv = APR_SUCCESS;
    }
    json_object_put(hello);
    return rv;
}

/* Asks once. */
static apr_status_t ask(unsigned char packet[SF_CONTROL_PACKET + 1],
                        char isolation[SF_ISOLATION_BYTES])
{
    sf_control_message message = { .descriptor = -1 };
    sf_runner_link link;
    apr_status_t rv = sf_runner_link_open(&link, sf_config_runner());
    int error;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    error = receive(&link, packet, &message);
    close(link.socket);
    if (error) {
        return error == EAGAIN ? APR_TIMEUP : APR_EOF;
    }
    rv = read_hello(&message, isolation);
    if (message.descriptor >= 0) {
        close(message.descriptor);
    }
    return rv;
}

apr_status_t sf_runner_check(apr_pool_t *pool, char isolation[SF_ISOLATION_BYTES])
{
    unsigned char *packet = apr_palloc(pool, SF_CONTROL_PACKET + 1);
    apr_status_t rv = APR_EOF;
    int attempt;

    *isolation = '\0';
    for (attempt = 0; attempt < ATTEMPTS && rv == APR_EOF; attempt++) {
        rv = ask(packet, isolation);
    }
    return rv;
}
