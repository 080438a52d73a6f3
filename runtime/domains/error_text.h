/* The errors of a domain: a short text that names no path and no SID, for errors that httpd makes as
 * well. Where the administrator has an ErrorDocument for the status, that is the answer. */
#ifndef SF_ERROR_TEXT_H
#define SF_ERROR_TEXT_H

#include <httpd.h>

/* Registers the filter that replaces httpd's body. Called when hooks are registered. */
void sf_error_text_register(void);

/* Hook insert_error_filter, for a request to a domain. */
void sf_error_text_insert(request_rec *r);

#endif
