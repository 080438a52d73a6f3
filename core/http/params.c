#include "core/http/params.h"

#include "core/config.h"
#include "core/date.h"
#include "core/http/body.h"
#include "core/http/form.h"
#include "core/utf8.h"

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>


/* Values ----------------------------------------------------------------------------------------- */

/* Checks a value that is not empty, and replaces it by the text that the operation gets. Returns
 * NULL or 400. */
typedef const sf_error *check_value(apr_pool_t *pool, const sf_param *param, const char **value);

static const sf_error *check_text_length(apr_pool_t *pool, const sf_param *param, const char *value)
{
    const int is_bytes = param->kind == SF_PARAM_BYTES;
    const int characters = sf_utf8_length(value);

    if (characters < 0) {
        return sf_error_bad_request(pool, "%s is not valid UTF-8", param->name);
    }
    if ((is_bytes ? (int)strlen(value) : characters) > param->maximum) {
        return sf_error_bad_request(pool, "%s must not be longer than %d %s", param->name,
                                    param->maximum, is_bytes ? "bytes" : "characters");
    }
    return NULL;
}

static const sf_error *check_text(apr_pool_t *pool, const sf_param *param, const char **value)
{
    return check_text_length(pool, param, *value);
}

/* Paths have a UniqueName in place of a SID, so it must not look like one. */
static const sf_error *check_unique_name(apr_pool_t *pool, const sf_param *param,
                                         const char **value)
{
    char digits[SF_SID_DIGITS + 1];

    SF_TRY(check_text_length(pool, param, *value));
    if (!sf_unique_name_is_valid(*value)) {
        return sf_error_bad_request(
            pool,
            "%s must begin with a letter or digit and consist of letters, digits, '-', '_' and '.'",
            param->name);
    }
    if (sf_sid_parse(*value, "ZS", digits)) {
        return sf_error_bad_request(pool, "%s must not look like a SID", param->name);
    }
    return NULL;
}

static const sf_error *check_flag(apr_pool_t *pool, const sf_param *param, const char **value)
{
    if (ap_cstr_casecmp(*value, "true") == 0) {
        *value = "t";
    }
    else if (ap_cstr_casecmp(*value, "false") == 0) {
        *value = "f";
    }
    else {
        return sf_error_bad_request(pool, "%s must be true or false", param->name);
    }
    return NULL;
}

static const sf_error *check_label(apr_pool_t *pool, const sf_param *param, const char **value)
{
    const char *label = *value;
    const char *end = label;

    SF_TRY(check_text_length(pool, param, label));
    while (apr_isalnum(*end) || *end == '-') {
        end++;
    }
    if (*end || *label == '-' || end[-1] == '-') {
        return sf_error_bad_request(
            pool, "%s must consist of letters and digits, with '-' only between", param->name);
    }
    return NULL;
}

static const sf_error *check_sid(apr_pool_t *pool, const sf_param *param, const char **value)
{
    char *digits = apr_palloc(pool, SF_SID_DIGITS + 1);

    if (!sf_sid_parse(*value, param->prefix, digits)) {
        return sf_error_bad_request(pool, "%s must be a SID that begins with %s", param->name,
                                    param->prefix);
    }
    *value = digits;
    return NULL;
}

static const sf_error *check_date(apr_pool_t *pool, const sf_param *param, const char **value)
{
    *value = sf_date_read(pool, *value);
    return *value ? NULL
                  : sf_error_bad_request(pool, "%s must be a time such as 2018-11-10T20:00:00Z",
                                         param->name);
}

/* SF_PARAM_SIDS is not here: each of its SIDs is checked as it is added. */
static check_value *const checks[] = {
    [SF_PARAM_TEXT] = check_text,   [SF_PARAM_UNIQUE_NAME] = check_unique_name,
    [SF_PARAM_FLAG] = check_flag,   [SF_PARAM_SID] = check_sid,
    [SF_PARAM_LABEL] = check_label, [SF_PARAM_BYTES] = check_text,
    [SF_PARAM_DATE] = check_date,
};

static const sf_error *check_param(apr_pool_t *pool, const sf_param *param, const char **value)
{
    if (*value && **value) {
        return checks[param->kind](pool, param, value);
    }
    if (param->required) {
        return sf_error_bad_request(pool, "Missing required parameter %s in the post body",
                                    param->name);
    }
    return *value ? sf_error_bad_request(pool, "%s must not be empty", param->name) : NULL;
}


/* Names and values ------------------------------------------------------------------------------- */

typedef struct {
    const sf_request *request;
    apr_pool_t *pool;
    const sf_param *params;
    const char **values;
    apr_array_header_t *lists[SF_PARAMS_MAX]; /* of the digits of SF_PARAM_SIDS */
} param_reader;

static const sf_error *add_sid(const param_reader *reader, int i, const char *value)
{
    const sf_param *param = &reader->params[i];

    SF_TRY(check_sid(reader->pool, param, &value));
    if (reader->lists[i]->nelts == param->maximum) {
        return sf_error_bad_request(reader->pool, "%s must not be given more than %d times",
                                    param->name, param->maximum);
    }
    APR_ARRAY_PUSH(reader->lists[i], const char *) = value;
    return NULL;
}

/* Takes a parameter of the request, if the table has its name. */
static const sf_error *add_param(const param_reader *reader, const char *name, const char *value)
{
    int i;

    for (i = 0; reader->params[i].name; i++) {
        if (strcmp(name, reader->params[i].name) != 0) {
            continue;
        }
        if (reader->params[i].kind == SF_PARAM_SIDS) {
            return add_sid(reader, i, value);
        }
        if (reader->values[i]) {
            return sf_error_bad_request(reader->pool, "%s is given more than once", name);
        }
        reader->values[i] = value;
    }
    return NULL;
}

/* Takes all parameters of a text such as "a=1&b=2", which it changes. */
static const sf_error *split_text(const param_reader *reader, char *text)
{
    sf_form_parameter parameter;

    for (;;) {
        switch (sf_form_next(&text, &parameter)) {
        case SF_FORM_PARAMETER:
            SF_TRY(add_param(reader, parameter.name, parameter.value));
            break;
        case SF_FORM_NUL:
            return sf_error_bad_request(reader->pool, "The parameters must not contain NUL");
        case SF_FORM_MALFORMED:
            return sf_error_bad_request(reader->pool,
                                        "The parameters have a malformed percent-encoding");
        default:
            return NULL;
        }
    }
}


/* The query and the form ------------------------------------------------------------------------- */

/* Reads the form. A body of another type is not read; a body without a type must be empty. */
static const sf_error *read_form(const param_reader *reader, char **text)
{
    request_rec *r = reader->request->r;
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    apr_size_t length;

    if (type && !sf_form_is_type(type)) {
        return sf_error_of_status(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE);
    }
    SF_TRY(sf_body_read(r, sf_config_form_limit(r), text, &length));
    if (!type && length > 0) {
        return sf_error_of_status(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE);
    }
    return strlen(*text) == length ? NULL
                                   : sf_error_bad_request(r->pool, "The body must not contain NUL");
}

static const sf_error *read_text(const param_reader *reader, char **text)
{
    const char *query = reader->request->r->args;

    if (!sf_request_is_read(reader->request)) {
        return read_form(reader, text);
    }
    *text = apr_pstrdup(reader->pool, query ? query : "");
    return NULL;
}

static void prepare_values(param_reader *reader)
{
    int i;

    for (i = 0; reader->params[i].name; i++) {
        reader->values[i] = NULL;
        if (reader->params[i].kind == SF_PARAM_SIDS) {
            reader->lists[i] = apr_array_make(reader->pool, 8, sizeof(const char *));
        }
    }
}

/* Returns PostgreSQL's array of the list's texts, "{1,2,3}", or NULL for an empty list. */
static const char *array_literal(apr_pool_t *pool, const apr_array_header_t *list)
{
    return apr_is_empty_array(list)
               ? NULL
               : apr_pstrcat(pool, "{", apr_array_pstrcat(pool, list, ','), "}", NULL);
}

static const sf_error *finish_values(const param_reader *reader)
{
    int i;

    for (i = 0; reader->params[i].name; i++) {
        if (reader->params[i].kind == SF_PARAM_SIDS) {
            reader->values[i] = array_literal(reader->pool, reader->lists[i]);
        }
        else {
            SF_TRY(check_param(reader->pool, &reader->params[i], &reader->values[i]));
        }
    }
    return NULL;
}

const sf_error *sf_params_read(const sf_request *request, const sf_param *params,
                               const char **values)
{
    param_reader reader
        = { .request = request, .pool = request->r->pool, .params = params, .values = values };
    char *text = NULL;

    prepare_values(&reader);
    SF_TRY(read_text(&reader, &text));
    SF_TRY(split_text(&reader, text));
    return finish_values(&reader);
}

int sf_params_count(const sf_param *params)
{
    int count = 0;

    while (params && params[count].name) {
        count++;
    }
    return count;
}

const char *sf_param_query(apr_pool_t *pool, const sf_param *param, const char *value)
{
    if (param->kind == SF_PARAM_SID) {
        return apr_pstrcat(pool, param->prefix, value, NULL);
    }
    return apr_pescape_urlencoded(pool, value);
}
