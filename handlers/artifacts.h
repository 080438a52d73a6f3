/* What Functions and Assets have in common besides their statements (sql/queries/artifacts.sql). */
#ifndef SF_ARTIFACTS_H
#define SF_ARTIFACTS_H

#include "core/http/params.h"

/* What create and update take. */
static const sf_param sf_artifact_params[] = {
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255, .required = 1 },
    { .name = NULL },
};

/* What a list may be narrowed down by. */
static const sf_param sf_artifact_filters[] = {
    { .name = "FriendlyName", .kind = SF_PARAM_TEXT, .maximum = 255 },
    { .name = NULL },
};

#endif
