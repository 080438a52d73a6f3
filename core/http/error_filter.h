/* What httpd itself refuses, in the API's form: a client of the API's virtual host never meets HTML.
 * httpd refuses some requests before it knows their Location (a bad request line, %2F, a slow
 * header), so this is the virtual host's business. */
#ifndef SF_ERROR_FILTER_H
#define SF_ERROR_FILTER_H

#include <httpd.h>

/* Registers the output filter that replaces the body of an error response. */
void sf_error_filter_register(void);

/* Hook insert_error_filter: adds that filter to an error response of an API's virtual host. */
void sf_error_filter_insert(request_rec *r);

/* Keeps an ErrorDocument of the virtual host from answering for the API. */
void sf_error_filter_suppress_documents(request_rec *r);

#endif
