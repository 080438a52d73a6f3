/* The Dependencies of a Build: the runner resolves them to a bundle (an archive of node_modules), and the database
 * keeps it. A Build with the same Runtime and Dependencies as an earlier one of its Service takes the bundle of that Build. */
#ifndef SF_DEPENDENCIES_H
#define SF_DEPENDENCIES_H

#include "worker/claimed_build.h"

typedef struct sf_dependencies sf_dependencies;

typedef enum {
    SF_DEPENDENCIES_PENDING,   /* the runner is at work */
    SF_DEPENDENCIES_RESOLVED,  /* the Build has its bundle, or needs none */
    SF_DEPENDENCIES_FAILED,    /* the Build fails, for a reason that is its owner's */
    SF_DEPENDENCIES_POSTPONED, /* the runner or the database is away; logged */
    SF_DEPENDENCIES_BROKEN     /* the runner or the database refuses; logged */
} sf_dependencies_result;

/* Begins, for a Build whose texts live as long as its pool: takes an earlier bundle, or asks the runner. */
sf_dependencies *sf_dependencies_begin(const sf_claimed_build *build);

/* Takes what the runner has sent since the last call, without waiting. With SF_DEPENDENCIES_FAILED, `reason` is a
 * sentence for the owner of the Build. After a result other than PENDING, only sf_dependencies_end() may follow. */
sf_dependencies_result sf_dependencies_step(sf_dependencies *work, const char **reason);

/* Ends: closes the connection to the runner, which then stops. */
void sf_dependencies_end(sf_dependencies *work);

#endif
