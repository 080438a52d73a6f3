#include "runtime/runner/builds.h"

#include "core/clock.h"
#include "runtime/runner/demand.h"
#include "runtime/runner/log.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER_MODE 0700

typedef enum {
    ABSENT,    /* not on disk */
    ON_DISK,   /* not checked since the start of the runner */
    CHECKING,  /* by the thread */
    RECEIVING, /* from a child */
    STORING,   /* by the thread */
    STORED
} state;

typedef struct record {
    sf_build build;              /* the first member: a pointer to it is one to the record */
    APR_RING_ENTRY(record) link; /* of the transfers, or of the unused records */
    sf_builds *builds;
    state state;
    apr_off_t size;
    apr_time_t used; /* clock of the system, as in the folder's time */
    /* the transfer */
    sf_lease_key sender;
    apr_time_t heard; /* from the sender */
    apr_pool_t *pool; /* of the writer, or NULL */
    sf_store_writer *writer;
} record;

APR_RING_HEAD(record_ring, record);

struct sf_builds {
    apr_pool_t *pool;
    sf_builds_parts parts;
    apr_hash_t *records;
    struct record_ring transfers; /* those in the state RECEIVING */
    struct record_ring unused;
    int count;
    apr_off_t bytes;
    int may_remove;
};


/* Records ------------------------------------------------------------------------------------- */

static record *make_record(const sf_builds *builds)
{
    record *made;

    if (APR_RING_EMPTY(&builds->unused, record, link)) {
        return apr_palloc(builds->pool, sizeof(*made));
    }
    made = APR_RING_FIRST(&builds->unused);
    APR_RING_REMOVE(made, link);
    return made;
}

static record *find_record(sf_builds *builds, const char *sid)
{
    record *found = apr_hash_get(builds->records, sid, SF_SID_LENGTH);

    if (!found) {
        found = make_record(builds);
        memset(found, 0, sizeof(*found));
        found->builds = builds;
        memcpy(found->build.sid, sid, SF_SID_LENGTH);
        apr_hash_set(builds->records, found->build.sid, SF_SID_LENGTH, found);
    }
    return found;
}

sf_builds *sf_builds_make(apr_pool_t *pool, const sf_builds_parts *parts)
{
    sf_builds *builds = apr_pcalloc(pool, sizeof(*builds));
    const apr_array_header_t *entries = sf_store_list(parts->store, pool);
    int i;

    builds->pool = pool;
    builds->parts = *parts;
    builds->records = apr_hash_make(pool);
    APR_RING_INIT(&builds->transfers, record, link);
    APR_RING_INIT(&builds->unused, record, link);
    for (i = 0; i < entries->nelts; i++) {
        const sf_store_entry *entry = &APR_ARRAY_IDX(entries, i, sf_store_entry);
        record *found = find_record(builds, entry->sid);

        found->state = ON_DISK;
        found->size = entry->size;
        found->used = entry->used;
        builds->count++;
        builds->bytes += entry->size;
    }
    return builds;
}

sf_build *sf_builds_find(sf_builds *builds, const char *sid)
{
    return &find_record(builds, sid)->build;
}

int sf_builds_count(const sf_builds *builds)
{
    return builds->count;
}

apr_off_t sf_builds_bytes(const sf_builds *builds)
{
    return builds->bytes;
}

static void set_state(record *found, state next)
{
    if (found->state == RECEIVING) {
        APR_RING_REMOVE(found, link);
    }
    if (next == RECEIVING) {
        APR_RING_INSERT_TAIL(&found->builds->transfers, found, record, link);
    }
    found->state = next;
}

static void set_stored(record *found)
{
    set_state(found, STORED);
    sf_pool_set_stored(found->builds->parts.isolates, &found->build, sf_clock_now());
}


/* Removing ------------------------------------------------------------------------------------ */

/* Removes the Build from the table and from the disk. */
static void remove_build(record *found)
{
    sf_builds *builds = found->builds;
    sf_work *work = sf_work_make(builds->parts.work, sf_work_remove);
    const char *path = sf_store_path(builds->parts.store, found->build.sid, work->pool);

    work->from = sf_store_temporary(builds->parts.store, work->pool);
    (void)chmod(path, FOLDER_MODE); /* renaming a folder writes to it */
    if (rename(path, work->from) != 0) {
        work->from = path;
    }
    sf_work_submit(builds->parts.work, work);
    builds->count--;
    builds->bytes -= found->size;
    found->size = 0;
    set_state(found, ABSENT);
    found->build.is_stored = 0;
}

/* Returns the Build that was used longest ago, of those that no isolate and no lease needs; or NULL. */
static record *find_unused(const sf_builds *builds)
{
    apr_hash_index_t *i;
    record *oldest = NULL;

    for (i = apr_hash_first(NULL, builds->records); i; i = apr_hash_next(i)) {
        record *found = apr_hash_this_val(i);

        if ((found->state == STORED || found->state == ON_DISK) && found->build.groups == 0
            && (!oldest || found->used < oldest->used)) {
            oldest = found;
        }
    }
    return oldest;
}

/* Removes Builds until the cache is within its limit. */
static void collect(sf_builds *builds)
{
    record *found;

    while (builds->may_remove && builds->bytes > builds->parts.limit
           && (found = find_unused(builds)) != NULL) {
        sf_runner_log(SF_RUNNER_INFO, "Build %s is removed: the cache is full", found->build.sid);
        remove_build(found);
    }
}

void sf_builds_allow_removal(sf_builds *builds)
{
    builds->may_remove = 1;
    collect(builds);
}

void sf_builds_use(const sf_builds *builds, sf_build *build)
{
    record *found = (record *)build;
    const struct timespec times[] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
    apr_pool_t *pool;

    found->used = apr_time_now();
    apr_pool_create(&pool, builds->pool);
    (void)utimensat(AT_FDCWD, sf_store_path(builds->parts.store, build->sid, pool), times, 0);
    apr_pool_destroy(pool);
}


/* Transfers ----------------------------------------------------------------------------------- */

/* Has the thread remove what was received, and forgets the sender. */
static void drop_transfer(record *found)
{
    sf_builds *builds = found->builds;

    set_state(found, ABSENT);
    if (found->pool) {
        sf_work *work = sf_work_make(builds->parts.work, sf_work_remove);

        work->from = apr_pstrdup(work->pool, sf_store_folder(found->writer));
        sf_work_submit(builds->parts.work, work);
        apr_pool_destroy(found->pool);
        found->pool = NULL;
    }
}

/* Asks the child of the lease that has waited longest to send the Build. Without a lease, nothing waits for the
 * Build any more. */
static void ask(record *found, apr_time_t now)
{
    sf_pool *isolates = found->builds->parts.isolates;
    const sf_lease *lease = sf_pool_first_lease(isolates, &found->build);

    if (!lease) {
        sf_pool_refuse_all(isolates, &found->build, "build", "");
        return;
    }
    set_state(found, RECEIVING);
    found->sender = lease->key;
    found->heard = now;
    sf_connection_send_text(lease->key.holder, SF_CONTROL_MISSING, (apr_uint32_t)lease->key.number,
                            "");
}

/* Answers the lease that sends the Build by a refusal, and asks the next one. */
static void refuse_sender(record *found, const char *detail, apr_time_t now)
{
    sf_pool *isolates = found->builds->parts.isolates;
    sf_lease *lease = sf_pool_find_lease(isolates, found->sender);

    sf_runner_log(SF_RUNNER_WARNING, "Build %s was not received: %s", found->build.sid, detail);
    if (lease) {
        sf_pool_refuse(isolates, lease, "build", detail);
    }
    drop_transfer(found);
    ask(found, now);
}

/* The disk does not take the Build: answers all leases that wait for it. */
static void refuse_all(record *found, const char *detail)
{
    sf_runner_log(SF_RUNNER_ERROR, "Build %s cannot be put on disk: %s", found->build.sid, detail);
    sf_pool_refuse_all(found->builds->parts.isolates, &found->build, "disk", detail);
}

static void finish_check(void *data, const sf_work *work)
{
    record *found = data;

    if (!work->message) {
        set_stored(found);
        return;
    }
    sf_runner_log(SF_RUNNER_WARNING, "Build %s on disk is damaged, and is fetched again: %s",
                  found->build.sid, work->message);
    remove_build(found);
    ask(found, sf_clock_now());
}

static void start_check(record *found)
{
    const sf_builds *builds = found->builds;
    sf_work *work = sf_work_make(builds->parts.work, sf_work_check);

    work->from = sf_store_path(builds->parts.store, found->build.sid, work->pool);
    work->done = finish_check;
    work->data = found;
    set_state(found, CHECKING);
    sf_work_submit(builds->parts.work, work);
}

void sf_builds_want(sf_builds *builds, sf_build *build, apr_time_t now)
{
    record *found = (record *)build;

    (void)builds;
    if (found->state == ON_DISK) {
        start_check(found);
    }
    else if (found->state == ABSENT) {
        ask(found, now);
    }
}

static void finish_store(void *data, const sf_work *work)
{
    record *found = data;
    sf_builds *builds = found->builds;

    found->size = work->size;
    apr_pool_destroy(found->pool);
    found->pool = NULL;
    if (work->message) {
        set_state(found, ABSENT);
        refuse_all(found, work->message);
        return;
    }
    found->used = apr_time_now();
    builds->count++;
    builds->bytes += found->size;
    set_stored(found);
    collect(builds);
}

static void start_store(record *found)
{
    const sf_builds *builds = found->builds;
    sf_work *work = sf_work_make(builds->parts.work, sf_work_store);

    work->from = sf_store_folder(found->writer);
    work->to = sf_store_path(builds->parts.store, found->build.sid, work->pool);
    work->names = sf_store_names(found->writer);
    work->done = finish_store;
    work->data = found;
    set_state(found, STORING);
    sf_work_submit(builds->parts.work, work);
}

/* Ends a transfer that cannot go on. */
static void fail_transfer(record *found, sf_store_status status, apr_time_t now)
{
    char text[512];

    apr_cpystrn(text, sf_store_message(found->writer), sizeof(text)); /* outlives the writer */
    if (status == SF_STORE_DISK) {
        drop_transfer(found);
        refuse_all(found, text);
    }
    else {
        refuse_sender(found, text, now);
    }
}

/* Returns the record that the child sends under this number, or NULL. */
static record *find_transfer(const sf_builds *builds, const sf_connection *child,
                             apr_uint32_t number)
{
    record *found;

    APR_RING_FOREACH(found, &builds->transfers, record, link)
    {
        if (found->sender.holder == child && found->sender.number == number) {
            return found;
        }
    }
    return NULL;
}

int sf_builds_is_sending(const sf_builds *builds, const sf_connection *child, apr_uint32_t number)
{
    return find_transfer(builds, child, number) != NULL;
}

/* Reads FILE, and begins the file. */
static sf_store_status receive_file(record *found, const sf_control_message *message)
{
    json_object *file = sf_demand_object(message->payload, message->length);
    json_object *name = NULL;
    json_object *sha256 = NULL;
    apr_int64_t size = -1;
    sf_store_status status;

    json_object_object_get_ex(file, "name", &name);
    json_object_object_get_ex(file, "sha256", &sha256);
    if (file) {
        sf_demand_integer(file, "size", 0, APR_INT64_MAX, &size);
    }
    status = sf_store_file(found->writer, name ? json_object_get_string(name) : "",
                           sha256 ? json_object_get_string(sha256) : "", size);
    json_object_put(file);
    return status;
}

/* Makes the writer at the first file. */
static sf_store_status begin_writer(record *found)
{
    const sf_builds *builds = found->builds;

    if (found->pool) {
        return SF_STORE_DONE;
    }
    apr_pool_create(&found->pool, builds->pool);
    return sf_store_begin(builds->parts.store, found->pool, builds->parts.limit, &found->writer);
}

static sf_store_status receive(record *found, const sf_control_message *message)
{
    sf_store_status status = begin_writer(found);

    if (status != SF_STORE_DONE) {
        return status;
    }
    switch (message->type) {
    case SF_CONTROL_FILE:
        return receive_file(found, message);
    case SF_CONTROL_DATA:
        return sf_store_data(found->writer, message->payload, message->length);
    default: /* STORE */
        status = sf_store_finish(found->writer);
        if (status == SF_STORE_DONE) {
            start_store(found);
        }
        return status;
    }
}

/* ABANDON: the lease ends without an answer. */
static void abandon(record *found, apr_time_t now)
{
    sf_pool *isolates = found->builds->parts.isolates;
    sf_lease *lease = sf_pool_find_lease(isolates, found->sender);

    if (lease) {
        sf_pool_remove_lease(isolates, lease);
    }
    drop_transfer(found);
    ask(found, now);
}

void sf_builds_receive(sf_builds *builds, sf_connection *child, const sf_control_message *message,
                       apr_time_t now)
{
    record *found = find_transfer(builds, child, message->number);
    sf_store_status status;

    if (!found) {
        return;
    }
    found->heard = now;
    if (message->type == SF_CONTROL_ABANDON) {
        abandon(found, now);
        return;
    }
    status = receive(found, message);
    if (status != SF_STORE_DONE) {
        fail_transfer(found, status, now);
    }
}

void sf_builds_remove_holder(sf_builds *builds, const sf_connection *child, apr_time_t now)
{
    record *found;
    record *next;

    APR_RING_FOREACH_SAFE(found, next, &builds->transfers, record, link)
    {
        if (found->sender.holder == child) {
            drop_transfer(found);
            ask(found, now);
        }
    }
}

/* Forgets the Builds that are neither on disk nor waited for. */
static void forget_absent(sf_builds *builds)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, builds->records); i; i = apr_hash_next(i)) {
        record *found = apr_hash_this_val(i);

        if (found->state == ABSENT && found->build.groups == 0) {
            apr_hash_set(builds->records, found->build.sid, SF_SID_LENGTH, NULL);
            APR_RING_INSERT_TAIL(&builds->unused, found, record, link);
        }
    }
}

void sf_builds_tick(sf_builds *builds, apr_time_t now)
{
    record *found;
    record *next;

    APR_RING_FOREACH_SAFE(found, next, &builds->transfers, record, link)
    {
        if (found->heard + SF_BUILDS_PATIENCE <= now) {
            refuse_sender(found, "the child has sent nothing for ten seconds", now);
        }
    }
    forget_absent(builds);
    collect(builds);
}

void sf_builds_end(sf_builds *builds)
{
    record *found;
    record *next;

    APR_RING_FOREACH_SAFE(found, next, &builds->transfers, record, link)
    {
        drop_transfer(found);
    }
}
