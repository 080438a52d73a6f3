/* Environments: where a Build is deployed, under a domain name. */
#include "core/resource.h"
#include "handlers/routes.h"

static const sf_property properties[] = {
    { "sid", SF_AS_SID, "ZE" },
    { "account_sid", SF_AS_SID, "AC" },
    { "service_sid", SF_AS_SID, "ZS" },
    { "build_sid", SF_AS_SID, "ZB" },
    { "unique_name", SF_AS_TEXT, NULL },
    { "domain_suffix", SF_AS_TEXT, NULL },
    { "domain_name", SF_AS_HOST, NULL },
    { "date_created", SF_AS_DATE, NULL },
    { "date_updated", SF_AS_DATE, NULL },
    { "url", SF_AS_URL, NULL },
    { "variables", SF_AS_LINK, "/Variables" },
    { "deployments", SF_AS_LINK, "/Deployments" },
    { "logs", SF_AS_LINK, "/Logs" },
    { .name = NULL },
};

static const sf_outcome outcomes[] = {
    { "conflict", HTTP_CONFLICT, "Environment with this UniqueName or DomainSuffix already exists.",
      .details = 0 },
    { .name = NULL },
};

static const sf_resource environments = {
    .key = "environments",
    .pattern = "/Services/{ZS}/Environments/{ZE}",
    .properties = properties,
    .outcomes = outcomes,
};

const sf_error *sf_environment_create(sf_request *request)
{
    static const sf_param params[] = {
        { "UniqueName", SF_TEXT, .maximum = 100, .required = 1 },
        { "DomainSuffix", SF_LABEL, .maximum = 16 },
        { .name = NULL },
    };

    return sf_resource_create(request, &environments, SF_STATEMENT_ENVIRONMENT_CREATE, params);
}

const sf_error *sf_environment_fetch(sf_request *request)
{
    return sf_resource_fetch(request, &environments, SF_STATEMENT_ENVIRONMENT_FETCH);
}

const sf_error *sf_environment_list(sf_request *request)
{
    return sf_resource_list(request, &environments, SF_STATEMENT_ENVIRONMENT_LIST);
}

const sf_error *sf_environment_delete(sf_request *request)
{
    return sf_resource_delete(request, &environments, SF_STATEMENT_ENVIRONMENT_DELETE);
}
