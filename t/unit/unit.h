/* Unit tests: each t/unit/NAME_test.c tests one subject and ends with unit_NAME(), which t/unit/subjects.h
 * lists. They run in httpd (t/unit/mod_unit_tests.c), so that the code has httpd's own functions under it. */
#ifndef UNIT_H
#define UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>

#include "core/config_fields.h"

/* Memory of the subject's tests. */
extern apr_pool_t *unit_pool;

/* A request of method GET with the query `args`, or NULL, in a Location that serves the API. Headers can be
 * added, and the Location's configuration can be changed through `config` where that is not NULL. */
request_rec *unit_request(const char *args, sf_dir_config **config);

/* Fails the test unless the texts are equal or both NULL; `input` says in the message which case it was. */
void unit_text(const char *input, const char *actual, const char *expected);

/* The same for numbers. */
void unit_number(const char *input, apr_int64_t actual, apr_int64_t expected);

#define UNIT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
