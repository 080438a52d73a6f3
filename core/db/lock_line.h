/* The requests of a child that wait for a lock in the database. They hold no connection meanwhile:
 * of those that write to one Service, one tries again from time to time, the other ones wait for
 * it. So a locked Service takes no connection from other accounts. For core/db/ only. */
#ifndef SF_DB_LOCK_LINE_H
#define SF_DB_LOCK_LINE_H

#include "core/caller.h"

/* The waiting requests of one account to one Service. */
typedef struct sf_lock_line sf_lock_line;

/* One request's place in a line. */
typedef struct {
    sf_lock_line *line; /* NULL: in none */
    int has_turn;       /* it is the one that tries again */
} sf_lock_place;

/* Called from child_init. Returns APR_SUCCESS or the error of the mutex. */
apr_status_t sf_lock_line_init(apr_pool_t *pool);

/* Joins the line for the Service that the request's path names, where there is one. Does nothing for
 * httpd itself, whose few threads each try by themselves. */
void sf_lock_line_join_existing(const sf_caller *caller, sf_lock_place *place);

/* The same, and makes a line where there is none. */
void sf_lock_line_join(const sf_caller *caller, sf_lock_place *place);

/* Waits until the request should try: it has the turn, or the line is over, and then its place is in
 * none. Returns 0 where `deadline` has passed. */
int sf_lock_line_wait(sf_lock_place *place, apr_time_t deadline);

/* Leaves the line, if the place is in one. `got_lock` ends the line: all of its requests try. Without
 * it, the turn goes to another request. */
void sf_lock_line_leave(sf_lock_place *place, int got_lock);

#endif
