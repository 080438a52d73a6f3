/* The API's table of contents, and the functions behind it, by file. */
#ifndef SF_ROUTES_H
#define SF_ROUTES_H

#include "core/dispatch.h"

/* Ends with a NULL pattern. */
extern const sf_route sf_routes[];

/* services.c */
const sf_error *sf_service_create(sf_request *request);
const sf_error *sf_service_fetch(sf_request *request);
const sf_error *sf_service_list(sf_request *request);
const sf_error *sf_service_update(sf_request *request);
const sf_error *sf_service_delete(sf_request *request);

/* functions.c */
const sf_error *sf_function_create(sf_request *request);
const sf_error *sf_function_fetch(sf_request *request);
const sf_error *sf_function_list(sf_request *request);
const sf_error *sf_function_update(sf_request *request);
const sf_error *sf_function_delete(sf_request *request);

/* function_versions.c */
const sf_error *sf_function_version_create(sf_request *request);
const sf_error *sf_function_version_fetch(sf_request *request);
const sf_error *sf_function_version_content(sf_request *request);
const sf_error *sf_function_version_list(sf_request *request);

/* builds.c */
const sf_error *sf_build_create(sf_request *request);
const sf_error *sf_build_fetch(sf_request *request);
const sf_error *sf_build_status(sf_request *request);
const sf_error *sf_build_list(sf_request *request);
const sf_error *sf_build_delete(sf_request *request);

/* environments.c */
const sf_error *sf_environment_create(sf_request *request);
const sf_error *sf_environment_fetch(sf_request *request);
const sf_error *sf_environment_list(sf_request *request);
const sf_error *sf_environment_delete(sf_request *request);

/* deployments.c */
const sf_error *sf_deployment_create(sf_request *request);
const sf_error *sf_deployment_fetch(sf_request *request);
const sf_error *sf_deployment_list(sf_request *request);

#endif
