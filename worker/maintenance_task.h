/* The result of one batch of a maintenance task. A task does its work in batches, so that no
 * statement is long. */
#ifndef SF_MAINTENANCE_TASK_H
#define SF_MAINTENANCE_TASK_H

typedef enum {
    SF_TASK_MORE,  /* the batch did something; another one may find more to do */
    SF_TASK_DONE,  /* the batch found nothing to do */
    SF_TASK_FAILED /* the database failed, which has been logged */
} sf_task_result;

#endif
