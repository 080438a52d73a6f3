/* The error filter: gives errors of httpd itself the API's form, in all of a virtual host that
 * has the API. httpd refuses some requests before it knows their Location (a bad request line,
 * %2F, a slow header). */
#ifndef SF_ERROR_FILTER_H
#define SF_ERROR_FILTER_H

#include <httpd.h>

/* Registers the output filter that replaces the body of an error response. */
void sf_error_filter_register(void);

/* Hook insert_error_filter: adds that filter to an error response of a virtual host that has the
 * API. */
void sf_error_filter_insert(request_rec *r);

/* Removes the virtual host's ErrorDocuments from a request to the API. */
void sf_error_filter_suppress_documents(request_rec *r);

#endif
