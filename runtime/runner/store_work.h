/* The work on Builds that waits for the disk: threads do it, so that the event loop does not wait. One stores and checks Builds,
 * one piece after the other; another one removes folders, which may take long and keeps no call waiting. */
#ifndef SF_STORE_WORK_H
#define SF_STORE_WORK_H

#include "runtime/runner/loop.h"

#include <apr_ring.h>
#include <apr_tables.h>

typedef struct sf_work_queue sf_work_queue;
typedef struct sf_work sf_work;

struct sf_work {
    APR_RING_ENTRY(sf_work) link;
    apr_pool_t *pool; /* ends after `done` */
    void (*run)(sf_work *work);
    const char *from;
    const char *to;
    const apr_array_header_t *names;               /* of const char * */
    void (*done)(void *data, const sf_work *work); /* called in the event loop; may be NULL */
    void *data;
    const char *message; /* NULL, or why the work has failed */
    apr_off_t size; /* with sf_work_store(): the bytes of the folder, unpacked packages included */
};

/* Makes a queue with its threads. Returns APR_SUCCESS, or the error with `queue` being NULL. */
apr_status_t sf_work_queue_make(apr_pool_t *pool, sf_loop *loop, sf_work_queue **queue);

/* Makes a piece of work, to be filled in. */
sf_work *sf_work_make(sf_work_queue *queue, void (*run)(sf_work *work));

/* Gives the work to its thread. */
void sf_work_submit(sf_work_queue *queue, sf_work *work);

/* Does all work that was given, and ends the threads. Removals that were not begun are left to the next runner. */
void sf_work_queue_end(sf_work_queue *queue);

/* Syncs the files `names` of the folder `from` and the folder itself to disk, names it `to`, and makes it
 * read-only. Where there is a folder `to`, it is complete, and `from` is removed. */
void sf_work_store(sf_work *work);

/* Checks the files of the folder `from` by its file of hashes. */
void sf_work_check(sf_work *work);

/* Removes the folder `from`, which is below tmp. */
void sf_work_remove(sf_work *work);

#endif
