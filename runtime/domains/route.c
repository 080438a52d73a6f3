#include "runtime/domains/route.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/db/db.h"
#include "core/log.h"
#include "core/metrics.h"
#include "runtime/domains/route_table.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

/* How long a child that reads may keep others from reading: it may have died. */
#define CLAIM_TIMEOUT apr_time_from_sec(3)

/* How often a request looks whether another one's read has ended. */
#define WAIT_SLICE apr_time_from_msec(1)

/* How often this node runs route_lease_begin while the lease is being changed. */
#define LEASE_BEGIN_INTERVAL apr_time_from_msec(100)

/* A time before all leases. */
#define LONG_AGO (-apr_time_from_sec(1000000000))

/* The columns of route_by_label and route_by_id. */
enum {
    ROUTE_LEASE,
    ROUTE_IS_CHANGING,
    ROUTE_ENVIRONMENT,
    ROUTE_SERVICE,
    ROUTE_ACCOUNT,
    ROUTE_BUILD,
    ROUTE_DEPLOYMENT,
    ROUTE_CONTEXT_TAG,
    ROUTE_IS_SUSPENDED,
    ROUTE_INCLUDE_CREDENTIALS
};

typedef enum {
    DECIDED_USE,     /* the route that was found, or that there is none */
    DECIDED_REFRESH, /* the same, and this request reads it anew */
    DECIDED_READ,
    DECIDED_WAIT, /* another request reads it */
    DECIDED_REFUSE
} decision;

/* One look-up. */
typedef struct {
    request_rec *r;
    const sf_route_key *key;
    sf_route *route;
    apr_time_t arrived;   /* after the request line was read */
    sf_entry_state state; /* of the route found */
} lookup;


/* Deciding by the table. All of these are called with its lock held ---------------------------- */

static int is_claimed(apr_time_t claimed_at, apr_time_t now)
{
    return claimed_at != 0 && now - claimed_at < CLAIM_TIMEOUT;
}

/* Whether the entry is no older than the lease allows: it was read within the lease; or the read
 * was sent after the request had arrived, so that it saw each change answered before. */
static int is_current(const lookup *l, const sf_route_entry *entry, apr_time_t now)
{
    return (entry->state == SF_ENTRY_PRESENT || entry->state == SF_ENTRY_ABSENT)
           && (now - entry->read_at < entry->lease || entry->read_at >= l->arrived);
}

/* Whether an older route may be used: the database was asked and was away, and that was no longer ago
 * than the lease allows. */
static int is_usable_stale(const lookup *l, const sf_route_entry *entry, apr_time_t now)
{
    const apr_time_t away_at = sf_route_table_database(l->key->database)->away_at;

    return entry->state == SF_ENTRY_PRESENT && away_at > entry->read_at
           && (now - away_at < entry->lease || away_at >= l->arrived)
           && now - entry->read_at < sf_config_stale_routes();
}

/* Uses what the entry has. */
static decision use(lookup *l, sf_route_entry *entry, apr_time_t now)
{
    entry->used_at = now;
    l->state = entry->state;
    *l->route = entry->route;
    return DECIDED_USE;
}

/* Uses a route. Where half of its lease has passed, this request reads it anew, unless another one does.
 * Names that do not exist are not read ahead, which would cost reads beyond their budget. */
static decision use_current(lookup *l, sf_route_entry *entry, apr_time_t now)
{
    const apr_interval_time_t age = now - entry->read_at;

    use(l, entry, now);
    if (entry->state != SF_ENTRY_PRESENT || age < entry->lease / 2 || age >= entry->lease
        || is_claimed(entry->claimed_at, now)) {
        return DECIDED_USE;
    }
    entry->claimed_at = now;
    return DECIDED_REFRESH;
}

/* Begins to read a name that the table does not have. It takes the place of another one only if it is
 * read. */
static decision enter(const lookup *l, apr_time_t now)
{
    if (!sf_route_table_take_read(now)) {
        return DECIDED_REFUSE;
    }
    sf_route_table_enter(l->key)->claimed_at = now;
    return DECIDED_READ;
}

/* Takes the claim to read. While the database is away, one request of the node tries it. Without a
 * lease, each request reads. */
static decision claim(const lookup *l, sf_route_entry *entry, apr_time_t now)
{
    sf_route_database *database = sf_route_table_database(l->key->database);
    apr_time_t *claimed_at = database->away_at != 0 ? &database->claimed_at : &entry->claimed_at;
    const int is_known = entry->state == SF_ENTRY_PRESENT;

    if (is_claimed(*claimed_at, now) && (entry->lease > 0 || entry->state == SF_ENTRY_UNREAD)) {
        return DECIDED_WAIT;
    }
    if (!is_known && !sf_route_table_take_read(now)) {
        return DECIDED_REFUSE;
    }
    *claimed_at = now;
    return DECIDED_READ;
}

static decision decide(lookup *l)
{
    const apr_time_t now = sf_clock_now();
    sf_route_entry *entry = sf_route_table_find(l->key);

    if (!entry) {
        return enter(l, now);
    }
    if (is_current(l, entry, now)) {
        return use_current(l, entry, now);
    }
    if (is_usable_stale(l, entry, now)) {
        sf_metrics_add(SF_METRIC_STALE_ROUTES);
        return use(l, entry, now);
    }
    return claim(l, entry, now);
}

/* Keeps the result of a read, unless another one that was sent later has ended before. */
static void keep(const lookup *l, apr_time_t sent_at, apr_interval_time_t lease)
{
    sf_route_entry *entry = sf_route_table_enter(l->key);
    sf_route_database *database = sf_route_table_database(l->key->database);

    database->away_at = database->claimed_at = 0;
    entry->claimed_at = 0;
    if (entry->state == SF_ENTRY_UNREAD || sent_at > entry->read_at) {
        sf_route_table_set(entry, l->state, l->route);
        entry->read_at = sent_at;
        entry->lease = lease;
        entry->used_at = sent_at;
    }
}

/* Ends the claim of a read that has failed. Returns whether the database is away since then. */
static int note_failure(const lookup *l, apr_time_t asked_at, int is_away)
{
    sf_route_entry *entry = sf_route_table_find(l->key);
    sf_route_database *database = sf_route_table_database(l->key->database);
    const int is_first = is_away && database->away_at == 0;

    if (is_away && asked_at > database->away_at) {
        database->away_at = asked_at;
    }
    database->claimed_at = 0;
    if (entry) {
        entry->claimed_at = 0;
    }
    return is_first;
}

/* Whether this node should run route_lease_begin now. */
static int takes_lease_begin(const lookup *l)
{
    sf_route_database *database = sf_route_table_database(l->key->database);
    const apr_time_t now = sf_clock_now();

    if (database->lease_begun_at != 0 && now - database->lease_begun_at < LEASE_BEGIN_INTERVAL) {
        return 0;
    }
    database->lease_begun_at = now;
    return 1;
}


/* Reading ------------------------------------------------------------------------------------- */

static void copy_uuid(sf_rows *rows, int column, char uuid[SF_UUID_LENGTH + 1])
{
    const char *value = sf_rows_value(rows, 0, column);

    apr_cpystrn(uuid, value ? value : "", SF_UUID_LENGTH + 1);
}

static int is_true(sf_rows *rows, int column)
{
    const char *value = sf_rows_value(rows, 0, column);

    return value && *value == 't';
}

static void read_columns(sf_rows *rows, sf_route *route)
{
    memset(route, 0, sizeof(*route));
    copy_uuid(rows, ROUTE_ENVIRONMENT, route->environment);
    copy_uuid(rows, ROUTE_SERVICE, route->service);
    copy_uuid(rows, ROUTE_ACCOUNT, route->account);
    copy_uuid(rows, ROUTE_BUILD, route->build);
    copy_uuid(rows, ROUTE_DEPLOYMENT, route->deployment);
    copy_uuid(rows, ROUTE_CONTEXT_TAG, route->context_tag);
    route->account_suspended = is_true(rows, ROUTE_IS_SUSPENDED);
    route->include_credentials = is_true(rows, ROUTE_INCLUDE_CREDENTIALS);
}

static sf_db_result run_statement(const lookup *l, sf_rows **rows)
{
    const sf_caller caller = sf_caller_of(l->r);
    const char *by_label[] = { l->key->name };
    const char *by_id[] = { l->key->service, l->key->name };

    sf_metrics_add(SF_METRIC_ROUTE_READS);
    return *l->key->service ? sf_db_try(&caller, SF_STATEMENT_ROUTE_BY_ID, by_id, rows)
                            : sf_db_try(&caller, SF_STATEMENT_ROUTE_BY_LABEL, by_label, rows);
}

/* Has the lease chosen, or the change of a lease go on. It is no failure of this request where that
 * fails. */
static void begin_lease(const lookup *l)
{
    static const char *const none[] = { NULL };
    const sf_caller caller = sf_caller_of(l->r);
    sf_rows *rows;

    sf_db_run(&caller, SF_STATEMENT_ROUTE_LEASE_BEGIN, none, &rows);
}

static void keep_in_table(const lookup *l, apr_time_t sent_at, sf_rows *rows)
{
    const int lease = atoi(sf_rows_value(rows, 0, ROUTE_LEASE));
    int begins = 0;

    if (sf_route_table_lock()) {
        keep(l, sent_at, apr_time_from_msec(lease));
        begins = is_true(rows, ROUTE_IS_CHANGING) && takes_lease_begin(l);
        sf_route_table_unlock();
    }
    if (begins) {
        begin_lease(l);
    }
}

/* Ends the claim of a read that has failed. A database that seems away is asked once more: core/db may have
 * refused to try for a second, and PostgreSQL may have answered that it has too many connections. */
static void note_failed_read(const lookup *l, sf_db_result result)
{
    const apr_time_t asked_at = sf_clock_now();
    const int is_away = sf_db_is_away(result) && !sf_db_answers(l->r->server);
    const sf_caller caller = sf_caller_of(l->r);
    int is_first = 0;

    if (sf_route_table_lock()) {
        is_first = note_failure(l, asked_at, is_away);
        sf_route_table_unlock();
    }
    if (is_first) {
        sf_log(&caller, APLOG_WARNING, "SF0070",
               "the database is away: known domains are answered by the last route");
    }
}

/* Reads the route from the database and keeps it in the table. Returns 0 where that fails. */
static int read_route(lookup *l)
{
    const apr_time_t sent_at = sf_clock_now();
    sf_rows *rows;
    sf_db_result result = run_statement(l, &rows);

    if (result == SF_DB_OK && sf_rows_count(rows) == 1) {
        read_columns(rows, l->route);
        l->state = *l->route->environment ? SF_ENTRY_PRESENT : SF_ENTRY_ABSENT;
        keep_in_table(l, sent_at, rows);
        return 1;
    }
    note_failed_read(l, result);
    return 0;
}

/* After a read of this request has failed: an older route, if it may be used. */
static int use_stale(lookup *l)
{
    sf_route_entry *entry;
    int usable = 0;

    if (sf_route_table_lock()) {
        entry = sf_route_table_find(l->key);
        usable = entry && is_usable_stale(l, entry, sf_clock_now());
        if (usable) {
            sf_metrics_add(SF_METRIC_STALE_ROUTES);
            use(l, entry, sf_clock_now());
        }
        sf_route_table_unlock();
    }
    return usable;
}

/* Reads while the entry is still current; the entry stays current where the read fails. */
static void refresh(lookup *l)
{
    sf_route found;
    lookup again = *l;

    again.route = &found;
    if (read_route(&again)) {
        *l->route = found;
        l->state = again.state;
    }
}

static int status_of(const lookup *l)
{
    return l->state == SF_ENTRY_PRESENT ? OK : HTTP_NOT_FOUND;
}

int sf_route_find(request_rec *r, const sf_route_key *key, sf_route *route)
{
    lookup l = { r, key, route, sf_clock_now(), SF_ENTRY_UNREAD };
    const apr_time_t deadline = l.arrived + sf_config_db_timeout() + CLAIM_TIMEOUT;

    while (sf_clock_now() < deadline) {
        decision decided = DECIDED_READ;

        if (sf_route_table_lock()) {
            decided = decide(&l);
            sf_route_table_unlock();
        }
        switch (decided) {
        case DECIDED_USE:
            return status_of(&l);
        case DECIDED_REFRESH:
            refresh(&l);
            return status_of(&l);
        case DECIDED_READ:
            return read_route(&l) || use_stale(&l) ? status_of(&l) : HTTP_SERVICE_UNAVAILABLE;
        case DECIDED_WAIT:
            apr_sleep(WAIT_SLICE);
            break;
        default:
            return HTTP_SERVICE_UNAVAILABLE;
        }
    }
    return HTTP_SERVICE_UNAVAILABLE;
}

void sf_route_forget(const sf_route_key *key)
{
    sf_route_entry *entry;

    if (sf_route_table_lock()) {
        entry = sf_route_table_find(key);
        if (entry) {
            entry->read_at = LONG_AGO;
        }
        sf_route_table_unlock();
    }
}
