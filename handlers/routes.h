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

#endif
