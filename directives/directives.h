/* The directives of httpd.conf. docs/directives.md describes them. */
#ifndef SF_DIRECTIVES_H
#define SF_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

/* For the module record. Ends with a NULL name. */
extern const command_rec sf_directives[];

#endif
