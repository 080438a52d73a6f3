#include "runtime/domains/runner_check.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/json.h"
#include "runtime/protocol/runner_link.h"

#include <apr_strings.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

/* How long the runner may take for its answers. */
#define PATIENCE apr_time_from_msec(500)

/* A runner that hands over closes the connections that it has not answered: the new one is asked, too. */
#define ATTEMPTS 2

const char *const sf_isolate_states[SF_ISOLATE_STATES_SHOWN]
    = { "starting", "idle", "leased", "ending" };

/* Waits for a message of a type until a deadline. Messages of other types are dropped. Returns 0, or an errno. */
static int receive(const sf_runner_link *link, sf_control_type type, apr_time_t deadline,
                   unsigned char packet[SF_CONTROL_PACKET + 1], sf_control_message *message)
{
    int error;

    do {
        error = sf_runner_link_receive(link, (int)apr_time_as_msec(deadline - sf_clock_now()) + 1,
                                       packet, message);
    } while (!error && message->type != type);
    return error;
}

/* Reads HELLO of the runner. */
static apr_status_t read_hello(const sf_control_message *message, sf_runner_state *state)
{
    json_object *hello = json_tokener_parse(message->payload);
    json_object *level = NULL;
    apr_status_t rv = APR_EMISMATCH;

    if (sf_json_number(hello, "version") == SF_PROTOCOL_VERSION
        && json_object_object_get_ex(hello, "isolation", &level)) {
        apr_cpystrn(state->isolation, json_object_get_string(level), SF_ISOLATION_BYTES);
        rv = APR_SUCCESS;
    }
    json_object_put(hello);
    return rv;
}

/* Reads STATUS of the runner. */
static void read_status(const sf_control_message *message, sf_runner_state *state)
{
    json_object *status = json_tokener_parse(message->payload);
    json_object *isolates = NULL;
    json_object *leases = NULL;
    int i;

    json_object_object_get_ex(status, "isolates", &isolates);
    json_object_object_get_ex(status, "leases", &leases);
    for (i = 0; i < SF_ISOLATE_STATES_SHOWN; i++) {
        state->isolates[i] = (apr_uint64_t)sf_json_number(isolates, sf_isolate_states[i]);
    }
    state->waiting = (apr_uint64_t)sf_json_number(leases, "waiting");
    json_object_put(status);
}

/* Asks for HELLO and STATUS over a connection. */
static apr_status_t ask_over(sf_runner_link *link, unsigned char packet[SF_CONTROL_PACKET + 1],
                             sf_runner_state *state)
{
    const apr_time_t deadline = sf_clock_now() + PATIENCE;
    sf_control_message message;
    apr_status_t rv;
    int error = receive(link, SF_CONTROL_HELLO, deadline, packet, &message);

    if (!error) {
        rv = read_hello(&message, state);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        sf_runner_link_say(link, SF_CONTROL_STATUS, 0, "");
        error = receive(link, SF_CONTROL_STATUS, deadline, packet, &message);
    }
    if (error) {
        return error == EAGAIN ? APR_TIMEUP : APR_EOF;
    }
    read_status(&message, state);
    return APR_SUCCESS;
}

apr_status_t sf_runner_check(apr_pool_t *pool, sf_runner_state *state)
{
    unsigned char *packet = apr_palloc(pool, SF_CONTROL_PACKET + 1);
    apr_status_t rv = APR_EOF;
    int attempt;

    memset(state, 0, sizeof(*state));
    for (attempt = 0; attempt < ATTEMPTS && rv == APR_EOF; attempt++) {
        sf_runner_link link;

        rv = sf_runner_link_open(&link, sf_config_runner());
        if (rv == APR_SUCCESS) {
            rv = ask_over(&link, packet, state);
            close(link.socket);
        }
    }
    return rv;
}
