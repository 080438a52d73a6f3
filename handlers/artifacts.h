/* The parameters that Functions and Assets share, as they share the statements of
 * sql/queries/artifacts.sql. */
#ifndef SF_ARTIFACTS_H
#define SF_ARTIFACTS_H

#include "core/http/params.h"

/* Of create and update. */
static const sf_param sf_artifact_params[] = {
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255, .required = 1 },
    { .name = NULL },
};

/* Of a filtered list. */
static const sf_param sf_artifact_filters[] = {
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = NULL },
};

#endif
