/* Functions: each has a name and Versions; a Version has the code. */
#include "core/api/resource.h"
#include "handlers/artifacts.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_JSON_SID, "ZH" },
    { "account_sid", SF_JSON_SID, "AC" },
    { "service_sid", SF_JSON_SID, "ZS" },
    { "friendly_name", SF_JSON_TEXT, NULL },
    { "date_created", SF_JSON_DATE, NULL },
    { "date_updated", SF_JSON_DATE, NULL },
    { "url", SF_JSON_URL, NULL },
    { "function_versions", SF_JSON_LINK, "/Versions" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { .name = "active",
      .status = HTTP_CONFLICT,
      .message = "Cannot delete Function because it's part of an active Build.",
      .details = SF_DETAILS_ALONE },
    { .name = NULL },
};

const sf_resource sf_functions = {
    .key = "functions",
    .pattern = "/Services/{ZS}/Functions/{ZH}",
    .kind = "function",
    .properties = properties,
    .outcomes = outcomes,
    .create = { SF_STATEMENT_ARTIFACT_CREATE, sf_artifact_params },
    .fetch = { SF_STATEMENT_ARTIFACT_FETCH, NULL },
    .list = { SF_STATEMENT_ARTIFACT_LIST, NULL },
    .list_filtered = { SF_STATEMENT_ARTIFACT_FIND, sf_artifact_filters },
    .update = { SF_STATEMENT_ARTIFACT_UPDATE, sf_artifact_params },
    .remove = { SF_STATEMENT_ARTIFACT_DELETE, NULL },
};
