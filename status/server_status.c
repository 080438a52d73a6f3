#include "status/server_status.h"

#include "core/config.h"
#include "core/db/db.h"
#include "core/metrics.h"
#include "status/node.h"

#include <apr_lib.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_main.h>
#include <http_protocol.h>
#include <mod_status.h>

/* Writes one figure: a row of the table, or for ?auto a line "Serverless<Name>: value". */
static void write_figure(request_rec *r, int flags, const char *name, const char *value)
{
    char *camel = apr_pcalloc(r->pool, strlen(name) + 1);
    char *end = camel;
    int capital = 1;

    if (!(flags & AP_STATUS_SHORT)) {
        ap_rprintf(r, "<tr><td>%s</td><td>%s</td></tr>\n", name, ap_escape_html(r->pool, value));
        return;
    }
    for (; *name; name++) {
        if (*name != '_' && *name != ' ') {
            *end++ = (char)(capital ? apr_toupper(*name) : *name);
        }
        capital = *name == '_' || *name == ' ';
    }
    ap_rprintf(r, "Serverless%s: %s\n", camel, value);
}

static void write_number(request_rec *r, int flags, const char *name, apr_uint64_t value)
{
    write_figure(r, flags, name, apr_psprintf(r->pool, "%" APR_UINT64_T_FMT, value));
}

static void write_databases(request_rec *r, int flags)
{
    const sf_caller caller = sf_caller_of(r);
    server_rec *s;

    for (s = sf_config_next_database(ap_server_conf); s; s = sf_config_next_database(s->next)) {
        const sf_node_database *database = sf_node_database_of(&caller, s);

        write_figure(r, flags, "database", sf_db_label(r->pool, s));
        write_figure(r, flags, "state", sf_node_word(database->state));
        write_number(r, flags, "builds_waiting", database->builds);
        write_number(r, flags, "builds_oldest_waiting_seconds", database->build_age);
    }
}

static void write_runner(request_rec *r, int flags)
{
    const sf_node_runner *runner = sf_node_runner_of(r->pool);
    int i;

    if (!runner) {
        return;
    }
    write_figure(r, flags, "runner", runner->state == SF_NODE_READY ? "ready" : "away");
    for (i = 0; i < SF_ISOLATE_STATES_SHOWN; i++) {
        write_number(r, flags, apr_pstrcat(r->pool, "isolates_", sf_isolate_states[i], NULL),
                     runner->isolates[i]);
    }
    write_number(r, flags, "leases_waiting", runner->waiting);
}

static int show_section(request_rec *r, int flags)
{
    const sf_metric_sums *sums;
    int i;

    if (!sf_config_next_database(ap_server_conf)) {
        return DECLINED;
    }
    sums = sf_metrics_read(r->pool);
    if (!(flags & AP_STATUS_SHORT)) {
        ap_rputs("<hr>\n<h1>mod_serverless_functions</h1>\n<table>\n", r);
    }
    write_databases(r, flags);
    write_runner(r, flags);
    write_number(r, flags, "connections_in_use", sums->gauges[SF_GAUGE_CONNECTIONS_IN_USE]);
    for (i = 0; i < SF_METRICS; i++) {
        write_number(r, flags, sf_metrics_name(i), sums->counters[i]);
    }
    if (!(flags & AP_STATUS_SHORT)) {
        ap_rputs("</table>\n", r);
    }
    return OK;
}

void sf_server_status_register(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, show_section, NULL, NULL, APR_HOOK_MIDDLE);
}
