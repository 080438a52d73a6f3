/* The state of the runner as JSON. */
#ifndef SF_STATUS_H
#define SF_STATUS_H

#include "runtime/runner/builds.h"
#include "runtime/runner/pool.h"

#include <json-c/json.h>

typedef struct {
    const sf_pool *isolates;
    const sf_builds *builds;
    int children;
    int is_leaving;
} sf_status_parts;

/* Returns an object of the caller's. */
json_object *sf_status_json(const sf_status_parts *parts);

#endif
