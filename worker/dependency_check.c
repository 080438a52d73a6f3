#include "worker/dependency_check.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/json.h"
#include "runtime/protocol/runner_link.h"
#include "worker/dependency_request.h"

#include <apr_strings.h>
#include <string.h>
#include <unistd.h>

/* The number of the only work that is asked for on a connection. */
#define CHECK 1

/* Returns the detail of a refusal with the reason "dependencies", NULL for another reason. */
static const char *read_refusal(apr_pool_t *pool, const char *text)
{
    json_object *refusal = json_tokener_parse(text);
    const char *reason = json_object_get_string(json_object_object_get(refusal, "reason"));
    const char *detail = json_object_get_string(json_object_object_get(refusal, "detail"));

    if (!reason || strcmp(reason, "dependencies") != 0) {
        detail = NULL;
    }
    detail = detail ? apr_pstrdup(pool, detail) : NULL;
    json_object_put(refusal);
    return detail;
}

/* Receives messages until the runner has answered, or the deadline has passed. Returns as sf_dependency_check(). */
static const char *receive_answer(apr_pool_t *pool, const sf_runner_link *link, apr_time_t deadline)
{
    unsigned char *packet = apr_palloc(pool, SF_CONTROL_PACKET + 1);
    sf_control_message message;

    do {
        if (sf_runner_link_receive(link, (int)apr_time_as_msec(deadline - sf_clock_now()) + 1,
                                   packet, &message)
            != 0) {
            return NULL;
        }
    } while (message.type == SF_CONTROL_HELLO);
    return message.type == SF_CONTROL_REFUSED ? read_refusal(pool, message.payload) : NULL;
}

const char *sf_dependency_check(const sf_caller *caller, const char *runtime, json_object *versions)
{
    const apr_interval_time_t patience = sf_config_dependency_check();
    const apr_time_t deadline = sf_clock_now() + patience;
    const int seconds = (int)apr_time_sec(patience + apr_time_from_sec(1) - 1);
    const char *reason = NULL;
    sf_runner_link link;

    if (sf_runner_link_open(&link, sf_config_runner()) != APR_SUCCESS) {
        return NULL;
    }
    if (sf_runner_link_say(&link, SF_CONTROL_INSTALL, CHECK,
                           sf_dependency_request(caller->pool, runtime, versions, seconds, 1))) {
        reason = receive_answer(caller->pool, &link, deadline);
    }
    close(link.socket); /* the runner ends the process of a check that is late */
    return reason;
}
