#include "core/db/lock_line.h"

#include "core/config.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <string.h>

#define KEY_BYTES 160

struct sf_lock_line {
    sf_lock_line *next; /* in the list of lines, or of free ones */
    char key[KEY_BYTES];
    apr_thread_cond_t *changed;
    int requests; /* with a place in it */
    int is_taken; /* a request has the turn */
    int is_over;  /* a request got the lock: it is in neither list, until all have left */
};

/* The mutex guards all of it. Lines are never freed, only used again. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;
    sf_lock_line *lines;
    sf_lock_line *free;
} all;

apr_status_t sf_lock_line_init(apr_pool_t *pool)
{
    apr_status_t rv = apr_pool_create(&all.pool, pool);

    return rv == APR_SUCCESS ? apr_thread_mutex_create(&all.mutex, APR_THREAD_MUTEX_DEFAULT, pool)
                             : rv;
}

/* Writes the key of the request's line: its database, its account, and the Service that its path names.
 * A key that is cut still begins with the database and the account. */
static void write_key(const request_rec *r, char key[KEY_BYTES])
{
    static const char collection[] = "/Services/";
    const char *service = strstr(r->uri, collection);
    const char *account = apr_table_get(r->notes, SF_ACCOUNT_NOTE);
    int length = 0;

    if (service) {
        service += sizeof(collection) - 1;
        length = (int)strcspn(service, "/");
    }
    apr_snprintf(key, KEY_BYTES, "%d %s %.*s", sf_config_database(r->server),
                 account ? account : "", length, service ? service : "");
}

/* Called with the mutex held. */
static sf_lock_line *find(const char *key)
{
    sf_lock_line *line = all.lines;

    while (line && strcmp(line->key, key) != 0) {
        line = line->next;
    }
    return line;
}

/* Returns a new line, or NULL where none can be made. Called with the mutex held. */
static sf_lock_line *make(const char *key)
{
    sf_lock_line *line = all.free;

    if (line) {
        all.free = line->next;
    }
    else {
        line = apr_pcalloc(all.pool, sizeof(*line));
        if (apr_thread_cond_create(&line->changed, all.pool) != APR_SUCCESS) {
            return NULL;
        }
    }
    apr_cpystrn(line->key, key, KEY_BYTES);
    line->requests = line->is_taken = line->is_over = 0;
    line->next = all.lines;
    all.lines = line;
    return line;
}

static void join(const sf_caller *caller, sf_lock_place *place, int may_make)
{
    char key[KEY_BYTES];

    if (!caller->r || place->line || !all.mutex) { /* without it, SF0006 is in the error log */
        return;
    }
    write_key(caller->r, key);
    apr_thread_mutex_lock(all.mutex);
    place->line = find(key);
    if (!place->line && may_make) {
        place->line = make(key);
    }
    if (place->line) {
        place->line->requests++;
    }
    apr_thread_mutex_unlock(all.mutex);
}

void sf_lock_line_join_existing(const sf_caller *caller, sf_lock_place *place)
{
    join(caller, place, 0);
}

void sf_lock_line_join(const sf_caller *caller, sf_lock_place *place)
{
    join(caller, place, 1);
}

/* Takes a line out of the list of lines. Called with the mutex held. */
static void unlink_line(const sf_lock_line *line)
{
    sf_lock_line **at = &all.lines;

    while (*at != line) {
        at = &(*at)->next;
    }
    *at = line->next;
}

/* Called with the mutex held. */
static void leave(sf_lock_place *place, int got_lock)
{
    sf_lock_line *line = place->line;

    if (got_lock && !line->is_over) {
        line->is_over = 1;
        unlink_line(line);
        apr_thread_cond_broadcast(line->changed);
    }
    if (place->has_turn) {
        line->is_taken = 0;
        apr_thread_cond_signal(line->changed);
    }
    if (--line->requests == 0) {
        if (!line->is_over) {
            unlink_line(line);
        }
        line->next = all.free;
        all.free = line;
    }
    *place = (sf_lock_place){ NULL, 0 };
}

int sf_lock_line_wait(sf_lock_place *place, apr_time_t deadline)
{
    sf_lock_line *line = place->line;
    int in_time = 1;

    if (!line || place->has_turn) {
        return 1;
    }
    apr_thread_mutex_lock(all.mutex);
    while (line->is_taken && !line->is_over && in_time) {
        const apr_interval_time_t left = deadline - apr_time_now();

        in_time = left > 0;
        if (in_time) {
            apr_thread_cond_timedwait(line->changed, all.mutex, left);
        }
    }
    if (line->is_over) {
        leave(place, 0);
    }
    else if (in_time) {
        place->has_turn = line->is_taken = 1;
    }
    apr_thread_mutex_unlock(all.mutex);
    return in_time;
}

void sf_lock_line_leave(sf_lock_place *place, int got_lock)
{
    if (place->line) {
        apr_thread_mutex_lock(all.mutex);
        leave(place, got_lock);
        apr_thread_mutex_unlock(all.mutex);
    }
}
