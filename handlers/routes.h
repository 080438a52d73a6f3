/* The API's routes, the resources that they name, and the operations that are more than a verb.
 * Each resource has its own file. */
#ifndef SF_ROUTES_H
#define SF_ROUTES_H

#include "core/api/dispatch.h"
#include "core/api/resource.h"

/* Ends with a NULL pattern. */
extern const sf_api_route sf_routes[];

extern const sf_resource sf_services;
extern const sf_resource sf_functions;
extern const sf_resource sf_function_versions;
extern const sf_resource sf_function_version_content;
extern const sf_resource sf_assets;
extern const sf_resource sf_asset_versions;
extern const sf_resource sf_asset_version_content;
extern const sf_resource sf_builds;
extern const sf_resource sf_build_status;
extern const sf_resource sf_environments;
extern const sf_resource sf_deployments;
extern const sf_resource sf_logs;
extern const sf_resource sf_variables;

/* builds.c */
sf_answer sf_build_create;

/* deployments.c */
sf_answer sf_deployment_create;

/* variables.c */
sf_answer sf_variable_create;
sf_answer sf_variable_update;

#endif
