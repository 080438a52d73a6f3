#include "runtime/domains/route_table.h"

#include "core/config.h"

#include <apr_atomic.h>
#include <apr_global_mutex.h>
#include <apr_shm.h>
#include <apr_siphash.h>
#include <http_config.h>
#include <http_log.h>
#include <openssl/rand.h>
#include <string.h>
#include <util_mutex.h>

APLOG_USE_MODULE(serverless_functions);

#define MUTEX_NAME "serverless-routes"

/* 4096 routes, in 2 MB. */
#define SETS 1024
#define WAYS 4

/* Reads of names that are not known, per second and node; and how many at once after a pause. */
#define UNKNOWN_RATE 100
#define UNKNOWN_BURST 200
#define UNKNOWN_INTERVAL (APR_USEC_PER_SEC / UNKNOWN_RATE)

typedef struct {
    unsigned char hash_key[APR_SIPHASH_KSIZE]; /* random: no client can aim at one set */
    apr_time_t budget_at; /* the time at which the budget of unknown names is whole again */
    sf_route_entry sets[SETS][WAYS];
    sf_route_database databases[]; /* by number, which begins at 1 */
} table_memory;

static apr_global_mutex_t *mutex;
static table_memory *table;


/* Starting up --------------------------------------------------------------------------------- */

apr_status_t sf_route_table_pre_config(apr_pool_t *pconf)
{
    mutex = NULL;
    table = NULL;
    return ap_mutex_register(pconf, MUTEX_NAME, NULL, APR_LOCK_DEFAULT, 0);
}

/* Returns whether a virtual host serves domains, and the highest number of a database. */
static int serves_domains(const server_rec *s, int *databases)
{
    int found = 0;

    *databases = 0;
    for (; s; s = s->next) {
        const int database = sf_config_database(s);

        found |= sf_config_executes(s);
        *databases = database > *databases ? database : *databases;
    }
    return found;
}

apr_status_t sf_route_table_post_config(apr_pool_t *pconf, server_rec *s)
{
    apr_size_t size = sizeof(*table);
    apr_status_t rv;
    apr_shm_t *memory;
    int databases;

    if (!serves_domains(s, &databases)) {
        return APR_SUCCESS;
    }
    size += sizeof(sf_route_database) * ((apr_size_t)databases + 1);
    rv = ap_global_mutex_create(&mutex, NULL, MUTEX_NAME, NULL, s, pconf, 0);
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&memory, size, NULL, pconf);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    table = apr_shm_baseaddr_get(memory);
    memset(table, 0, size);
    return RAND_bytes(table->hash_key, sizeof(table->hash_key)) == 1 ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t sf_route_table_child_init(apr_pool_t *pool)
{
    return mutex ? apr_global_mutex_child_init(&mutex, apr_global_mutex_lockfile(mutex), pool)
                 : APR_SUCCESS;
}


/* The lock ------------------------------------------------------------------------------------ */

int sf_route_table_lock(void)
{
    return table && apr_global_mutex_lock(mutex) == APR_SUCCESS;
}

void sf_route_table_unlock(void)
{
    apr_global_mutex_unlock(mutex);
}


/* Entries ------------------------------------------------------------------------------------- */

_Static_assert(sizeof(sf_route_key) == sizeof(int) + SF_SID_DIGITS + 1 + SF_ROUTE_NAME_BYTES,
               "a key has no padding");

static sf_route_entry *set_of(const sf_route_key *key)
{
    return table->sets[apr_siphash24(key, sizeof(*key), table->hash_key) % SETS];
}

static int is_same_key(const sf_route_key *a, const sf_route_key *b)
{
    return a->database == b->database && strcmp(a->service, b->service) == 0
           && strcmp(a->name, b->name) == 0;
}

sf_route_entry *sf_route_table_find(const sf_route_key *key)
{
    sf_route_entry *set = set_of(key);
    int i;

    for (i = 0; i < WAYS; i++) {
        if (set[i].state != SF_ENTRY_EMPTY && is_same_key(&set[i].key, key)) {
            return &set[i];
        }
    }
    return NULL;
}

/* Whether an entry should give way rather than another one: those of names that do not exist go first,
 * so that a flood of them does not displace known domains; then those that were not used longest. */
static int gives_way(const sf_route_entry *entry, const sf_route_entry *other)
{
    const int present = entry->state == SF_ENTRY_PRESENT;
    const int other_present = other->state == SF_ENTRY_PRESENT;

    if (entry->state == SF_ENTRY_EMPTY || other->state == SF_ENTRY_EMPTY) {
        return other->state != SF_ENTRY_EMPTY;
    }
    return present != other_present ? other_present : entry->used_at < other->used_at;
}

sf_route_entry *sf_route_table_enter(const sf_route_key *key)
{
    sf_route_entry *set = set_of(key);
    sf_route_entry *entry = sf_route_table_find(key);
    int i;

    if (entry) {
        return entry;
    }
    entry = set;
    for (i = 1; i < WAYS; i++) {
        if (gives_way(&set[i], entry)) {
            entry = &set[i];
        }
    }
    sf_route_table_set(entry, SF_ENTRY_EMPTY, NULL);
    entry->key = *key;
    entry->read_at = entry->lease = entry->used_at = entry->claimed_at = 0;
    sf_route_table_set(entry, SF_ENTRY_UNREAD, NULL);
    return entry;
}

/* The state is EMPTY while the rest is written, and the barriers keep this order, so that an entry is
 * empty or whole where a child dies meanwhile. */
void sf_route_table_set(sf_route_entry *entry, sf_entry_state state, const sf_route *route)
{
    entry->state = SF_ENTRY_EMPTY;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (route) {
        entry->route = *route;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    entry->state = state;
}

sf_route_database *sf_route_table_database(int database)
{
    return &table->databases[database];
}

int sf_route_table_take_read(apr_time_t now)
{
    const apr_time_t begin = table->budget_at > now ? table->budget_at : now;

    if (begin - now > UNKNOWN_INTERVAL * UNKNOWN_BURST) {
        return 0;
    }
    table->budget_at = begin + UNKNOWN_INTERVAL;
    return 1;
}
