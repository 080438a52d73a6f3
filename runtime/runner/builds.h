/* The Builds that isolates need: found on disk and checked, or sent by a child; removed when the cache is
 * full. */
#ifndef SF_BUILDS_H
#define SF_BUILDS_H

#include "runtime/runner/connection.h"
#include "runtime/runner/pool.h"
#include "runtime/runner/store.h"
#include "runtime/runner/store_work.h"

/* Microseconds after which a child that sends nothing has abandoned a Build. */
#define SF_BUILDS_PATIENCE 10000000

typedef struct sf_builds sf_builds;

typedef struct {
    sf_store *store;
    apr_off_t limit; /* bytes of all Builds */
    sf_work_queue *work;
    sf_pool *isolates;
} sf_builds_parts;

/* Makes the table of Builds from those on disk. */
sf_builds *sf_builds_make(apr_pool_t *pool, const sf_builds_parts *parts);

/* Returns the Build of a SID. */
sf_build *sf_builds_find(sf_builds *builds, const char *sid);

/* Has a Build checked, or asks the child of a lease to send it, where it is not there. Called after a lease
 * of it was added. */
void sf_builds_want(sf_builds *builds, sf_build *build, apr_time_t now);

/* Whether the child sends a Build under this number. */
int sf_builds_is_sending(const sf_builds *builds, const sf_connection *child, apr_uint32_t number);

/* Does what FILE, DATA, STORE or ABANDON say. Messages of a transfer that has ended are ignored. */
void sf_builds_receive(sf_builds *builds, sf_connection *child, const sf_control_message *message,
                       apr_time_t now);

/* The connection of a child has ended: other children are asked for the Builds that it was sending. */
void sf_builds_remove_holder(sf_builds *builds, const sf_connection *child, apr_time_t now);

/* Ends the transfers of children that send nothing. */
void sf_builds_tick(sf_builds *builds, apr_time_t now);

/* Ends all transfers: the runner stops. */
void sf_builds_end(sf_builds *builds);

/* Records the use of a Build, of which an isolate is started. */
void sf_builds_use(const sf_builds *builds, sf_build *build);

/* Lets Builds be removed when the cache is full. Until then, a runner that hands over may use them. */
void sf_builds_allow_removal(sf_builds *builds);

/* Returns the number of Builds on disk, and their bytes. */
int sf_builds_count(const sf_builds *builds);
apr_off_t sf_builds_bytes(const sf_builds *builds);

#endif
