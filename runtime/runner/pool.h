/* The isolates of the machine, and the leases that wait for them: data, and the changes that events make.
 * decisions.h decides about leases, starts and ends. Neither file knows processes, sockets or the clock; the
 * functions of sf_pool_hooks act for them.
 *
 *   account -> Environment -> group: one Build in the Environment -> isolates, waiting leases */
#ifndef SF_POOL_H
#define SF_POOL_H

#include "core/sid.h"

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_ring.h>
#include <apr_time.h>

#define SF_RUNTIME_NAME_MAX 64

/* What a LEASE asks for, with the limits that httpd's directives set. */
typedef struct {
    char environment[SF_SID_LENGTH + 1];
    char account[SF_SID_LENGTH + 1];
    char build[SF_SID_LENGTH + 1];
    char runtime[SF_RUNTIME_NAME_MAX + 1];
    int concurrency;    /* isolates of the Environment */
    int isolates;       /* of the machine */
    apr_int64_t memory; /* bytes of an isolate */
    int idle;           /* seconds until an idle isolate ends */
    int calls;          /* of an isolate */
    int timeout;        /* seconds of a call */
    int wait;           /* milliseconds until the child cancels the lease */
} sf_demand;

/* A Build. The store of Builds unsets `is_stored`; the pool counts its isolates. */
typedef struct {
    char sid[SF_SID_LENGTH + 1];
    int is_stored; /* its files are on disk, and checked */
    int isolates;
    int groups; /* of the pool */
} sf_build;

typedef enum {
    SF_ISOLATE_STARTING,
    SF_ISOLATE_IDLE,
    SF_ISOLATE_LEASED,
    SF_ISOLATE_ENDING, /* killed, and not reaped yet; no limit counts it */
    SF_ISOLATE_STATES
} sf_isolate_state;

typedef struct sf_group sf_group;

typedef struct sf_isolate {
    APR_RING_ENTRY(sf_isolate) link; /* of the group */
    apr_pool_t *pool;                /* ends with the isolate */
    sf_group *group;
    apr_uint32_t number;
    sf_isolate_state state;
    sf_demand demand;    /* for which it was started */
    void *holder;        /* the child that leases it, or NULL */
    apr_time_t since;    /* of the state */
    apr_time_t recalled; /* when the child was last asked to return it, or 0 */
    apr_int64_t calls;
    apr_int64_t rss;
    int is_cold;       /* never leased */
    int is_failed;     /* killed before it was ready */
    int is_stalled;    /* starting, and not counted by the limit of the cores */
    const char *cause; /* for which the runner ends it, or NULL */
    void *process;     /* isolate.c */
} sf_isolate;

/* The name of a lease. It has no padding, since it is hashed as bytes. */
typedef struct {
    void *holder; /* the child */
    apr_uint64_t number;
} sf_lease_key;

typedef struct sf_lease {
    APR_RING_ENTRY(sf_lease) link; /* of the group, first come first */
    sf_lease_key key;
    sf_group *group;
    sf_demand demand;
    apr_time_t since; /* when it came, or when its Build was there, if it is later */
    int is_held;      /* its Build is not there yet, and the child has been told so */
} sf_lease;

APR_RING_HEAD(sf_isolate_ring, sf_isolate);
APR_RING_HEAD(sf_lease_ring, sf_lease);
APR_RING_HEAD(sf_group_ring, sf_group);

typedef struct {
    apr_pool_t *pool;
    char sid[SF_SID_LENGTH + 1];
    int live; /* isolates of its Environments that are not ending */
    int environments;
} sf_account;

typedef struct {
    apr_pool_t *pool;
    char sid[SF_SID_LENGTH + 1];
    sf_account *account;
    int live;
    int groups;
    const sf_group *newest; /* of the Build asked for last */
} sf_environment;

/* The limit that keeps a group from starting an isolate. */
typedef enum {
    SF_LIMIT_NONE,
    SF_LIMIT_ENVIRONMENT,
    SF_LIMIT_ACCOUNT,
    SF_LIMIT_MACHINE,
    SF_LIMIT_CORES
} sf_limit;

struct sf_group {
    APR_RING_ENTRY(sf_group) link; /* of the pool */
    apr_pool_t *pool;
    sf_environment *environment;
    sf_build *build;
    sf_demand demand; /* the last one */
    struct sf_isolate_ring isolates;
    struct sf_lease_ring waiting;
    int waiting_count;
    int live;
    int starting;
    int failing; /* isolates that were killed before they were ready: each refuses a lease as it is reaped */
    int wants_spare; /* an isolate is to be idle: another one is lost, or its call lasts for long */
    sf_limit limit;  /* of the last decision */
    apr_time_t recalled; /* when a child was last asked to make room for it, or 0 */
};

/* The actions of the pool. */
typedef struct {
    void *data;
    /* Starts the process of an isolate. Returns NULL, or why there is none. */
    const char *(*start)(void *data, sf_isolate *isolate);
    /* Kills the process; sf_pool_remove() follows when it is reaped. */
    void (*kill)(void *data, sf_isolate *isolate);
    /* Passes the line of an isolate to the child of a lease. */
    void (*grant)(void *data, const sf_lease *lease, const sf_isolate *isolate);
    /* Answers a lease that cannot be had. */
    void (*refuse)(void *data, const sf_lease *lease, const char *reason, const char *detail);
    /* Tells the child of a lease that it waits for its Build, or that the Build is there. */
    void (*deliver)(void *data, const sf_lease *lease, int is_there);
    /* Asks a child to return `count` lines of the Environment; `build` may be NULL. */
    void (*recall)(void *data, void *holder, const char *environment, const char *build, int count);
} sf_pool_hooks;

typedef struct {
    apr_int64_t starts; /* isolates started */
    apr_int64_t calls;  /* of isolates, as of their last return */
    apr_int64_t leases; /* answered by a line */
    apr_int64_t cold;   /* of those, by an isolate that was started for its first lease */
    apr_int64_t refused;
    apr_int64_t expired; /* not cancelled in time */
    apr_int64_t killed;  /* by KILL, or as their child's connection ended */
    apr_int64_t died;    /* while leased */
} sf_pool_counts;

typedef struct {
    apr_pool_t *pool;
    sf_pool_hooks hooks;
    int cores;
    struct sf_group_ring groups;
    apr_hash_t *environments;
    apr_hash_t *isolates; /* by number */
    apr_hash_t *leases;   /* by key */
    apr_hash_t *accounts;
    struct sf_lease_ring unused; /* leases to be used again */
    apr_uint32_t last_number;
    int live;
    int starting;   /* without the stalled ones */
    int is_changed; /* since the last decisions */
    int is_leaving; /* nothing is leased or started any more */
    sf_pool_counts counts;
    apr_pool_t *scratch; /* cleared by the caller of sf_pool_remove() */
} sf_pool;

/* Makes a pool without isolates, which starts at most `cores` at a time. */
sf_pool *sf_pool_make(apr_pool_t *pool, int cores, const sf_pool_hooks *hooks);

/* Adds a lease of a child, under a number that is not in use. Where its Build is not there, as many leases of the group are held
 * as the Environment may have isolates: their time to wait counts from the delivery of the Build. Further ones are not, so that a
 * Build that takes long keeps no more of httpd's workers. */
void sf_pool_add_lease(sf_pool *pool, sf_lease_key key, const sf_demand *demand, sf_build *build,
                       apr_time_t now);

/* The Build is on disk, and checked. */
void sf_pool_set_stored(sf_pool *pool, sf_build *build, apr_time_t now);

/* Whether an Environment has isolates that are not ending. */
int sf_pool_is_used(const sf_pool *pool, const char *environment);

/* Returns a lease that waits, or NULL. */
sf_lease *sf_pool_find_lease(const sf_pool *pool, sf_lease_key key);

/* Returns the lease that waits longest for a Build, or NULL. */
sf_lease *sf_pool_first_lease(const sf_pool *pool, const sf_build *build);

/* Removes a lease, which is not to be used afterwards. */
void sf_pool_remove_lease(sf_pool *pool, sf_lease *lease);

/* Answers a lease by a reason, and removes it. */
void sf_pool_refuse(sf_pool *pool, sf_lease *lease, const char *reason, const char *detail);

/* Refuses all leases that wait for the Build, or for any Build where it is NULL. */
void sf_pool_refuse_all(sf_pool *pool, const sf_build *build, const char *reason,
                        const char *detail);

/* Returns an isolate, ending ones included, or NULL. */
sf_isolate *sf_pool_find_isolate(const sf_pool *pool, apr_uint32_t number);

/* Adds an isolate in the state STARTING, and starts its process. Where that fails, the first lease of the
 * group is refused. */
void sf_pool_start(sf_pool *pool, sf_group *group, apr_time_t now);

/* The start of the isolate waits for something that is not the processor: isolates of others may start meanwhile. Does nothing
 * where the isolate is stalled already. */
void sf_pool_stall(sf_pool *pool, sf_isolate *isolate);

/* The start of a stalled isolate goes on, also where that makes more starts than there are cores. Does nothing for another
 * isolate. */
void sf_pool_resume(sf_pool *pool, sf_isolate *isolate);

/* The isolate is ready for its first lease. */
void sf_pool_ready(sf_pool *pool, sf_isolate *isolate, apr_time_t now);

/* Gives the isolate to a lease, which is removed. */
void sf_pool_grant(sf_pool *pool, sf_isolate *isolate, sf_lease *lease, apr_time_t now);

/* The child has returned the isolate, which has had `calls` calls and uses `rss` bytes. */
void sf_pool_return(sf_pool *pool, sf_isolate *isolate, apr_int64_t calls, apr_int64_t rss,
                    apr_time_t now);

/* Kills an isolate, unless it is ending. `cause` is a constant. */
void sf_pool_end(sf_pool *pool, sf_isolate *isolate, const char *cause, apr_time_t now);

/* The call of a leased isolate lasts for long, and other calls depend on one other isolate: the group is to have an idle
 * one, if no limit is reached. */
void sf_pool_want_spare(sf_pool *pool, const sf_isolate *isolate);

/* Kills an isolate in the call of its child, for a cause of KILL. The group is to have an idle isolate in its place. */
void sf_pool_kill(sf_pool *pool, sf_isolate *isolate, const char *cause, apr_time_t now);

/* The process of the isolate was reaped. One that was starting refuses the first lease of its group with
 * `detail`. The isolate is not to be used afterwards. */
void sf_pool_remove(sf_pool *pool, sf_isolate *isolate, const char *detail, apr_time_t now);

/* The connection of a child has ended: removes its leases, and ends the isolates it has leased. */
void sf_pool_remove_holder(sf_pool *pool, const void *holder, apr_time_t now);

/* Returns the number of isolates that a child has leased. */
int sf_pool_held(const sf_pool *pool, const void *holder);

#endif
