#include "core/http/params.h"

#include "core/config.h"
#include "core/date.h"
#include "core/http/body.h"
#include "core/utf8.h"

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#define FORM_TYPE "application/x-www-form-urlencoded"

typedef struct {
    const sf_request *request;
    apr_pool_t *pool;
    const sf_param *params;
    const char **values;
    apr_array_header_t *lists[SF_PARAMS_MAX]; /* of SF_PARAM_SIDS */
} reading;


/* The kinds -------------------------------------------------------------------------------------- */

static const sf_error *check_length(const reading *in, const sf_param *param, const char *value)
{
    const int bytes = param->kind == SF_PARAM_BYTES;
    int length = sf_utf8_length(value);

    if (length < 0) {
        return sf_error_bad_request(in->pool, "%s is not valid UTF-8", param->name);
    }
    if ((bytes ? (int)strlen(value) : length) > param->maximum) {
        return sf_error_bad_request(in->pool, "%s must not be longer than %d %s", param->name,
                                    param->maximum, bytes ? "bytes" : "characters");
    }
    return NULL;
}

/* A UniqueName stands for the SID in paths, so it must not look like one. */
static const sf_error *check_unique_name(const reading *in, const sf_param *param,
                                         const char *value)
{
    char digits[SF_SID_DIGITS + 1];

    if (!sf_unique_name_is_valid(value)) {
        return sf_error_bad_request(
            in->pool,
            "%s must begin with a letter or digit and consist of letters, digits, '-', '_' and '.'",
            param->name);
    }
    if (sf_sid_parse(value, "ZS", digits)) {
        return sf_error_bad_request(in->pool, "%s must not look like a SID", param->name);
    }
    return NULL;
}

static const sf_error *check_flag(const reading *in, const sf_param *param, const char **value)
{
    if (ap_cstr_casecmp(*value, "true") == 0) {
        *value = "t";
    }
    else if (ap_cstr_casecmp(*value, "false") == 0) {
        *value = "f";
    }
    else {
        return sf_error_bad_request(in->pool, "%s must be true or false", param->name);
    }
    return NULL;
}

static const sf_error *check_label(const reading *in, const sf_param *param, const char *value)
{
    const char *at = value;

    while (apr_isalnum(*at) || *at == '-') {
        at++;
    }
    if (*at || *value == '-' || at[-1] == '-') {
        return sf_error_bad_request(
            in->pool, "%s must consist of letters and digits, with '-' only between", param->name);
    }
    return NULL;
}

static const sf_error *check_sid(const reading *in, const sf_param *param, const char **value)
{
    char *digits = apr_palloc(in->pool, SF_SID_DIGITS + 1);

    if (!sf_sid_parse(*value, param->prefix, digits)) {
        return sf_error_bad_request(in->pool, "%s must be a SID that begins with %s", param->name,
                                    param->prefix);
    }
    *value = digits;
    return NULL;
}

static const sf_error *check_date(const reading *in, const sf_param *param, const char **value)
{
    *value = sf_date_read(in->pool, *value);
    return *value ? NULL
                  : sf_error_bad_request(in->pool, "%s must be a time such as 2018-11-10T20:00:00Z",
                                         param->name);
}

static const sf_error *check_required(const reading *in, const sf_param *param, const char *value)
{
    if (param->required) {
        return sf_error_bad_request(in->pool, "Missing required parameter %s in the post body",
                                    param->name);
    }
    return value ? sf_error_bad_request(in->pool, "%s must not be empty", param->name) : NULL;
}

static const sf_error *check(const reading *in, const sf_param *param, const char **value)
{
    const sf_error *error;

    if (!*value || !**value) {
        return check_required(in, param, *value);
    }
    switch (param->kind) {
    case SF_PARAM_FLAG:
        return check_flag(in, param, value);
    case SF_PARAM_SID:
        return check_sid(in, param, value);
    case SF_PARAM_DATE:
        return check_date(in, param, value);
    default:
        break;
    }
    error = check_length(in, param, *value);
    if (!error && param->kind == SF_PARAM_UNIQUE_NAME) {
        error = check_unique_name(in, param, *value);
    }
    if (!error && param->kind == SF_PARAM_LABEL) {
        error = check_label(in, param, *value);
    }
    return error;
}


/* From bytes to values --------------------------------------------------------------------------- */

static const sf_error *decode(const reading *in, char *text)
{
    switch (ap_unescape_urlencoded(text)) {
    case OK:
        return NULL;
    case HTTP_NOT_FOUND: /* so it says of %00 */
        return sf_error_bad_request(in->pool, "The parameters must not contain NUL");
    default:
        return sf_error_bad_request(in->pool, "The parameters have a malformed percent-encoding");
    }
}

static const sf_error *keep_sid(const reading *in, int i, const char *value)
{
    const sf_error *error = check_sid(in, &in->params[i], &value);

    if (!error && in->lists[i]->nelts == in->params[i].maximum) {
        error = sf_error_bad_request(in->pool, "%s must not be given more than %d times",
                                     in->params[i].name, in->params[i].maximum);
    }
    if (!error) {
        APR_ARRAY_PUSH(in->lists[i], const char *) = value;
    }
    return error;
}

/* {1,2,3}, or NULL for none. */
static const char *array_literal(apr_pool_t *pool, const apr_array_header_t *list)
{
    return apr_is_empty_array(list)
               ? NULL
               : apr_pstrcat(pool, "{", apr_array_pstrcat(pool, list, ','), "}", NULL);
}

static const sf_error *keep(const reading *in, const char *name, const char *value)
{
    int i;

    for (i = 0; in->params[i].name; i++) {
        if (strcmp(name, in->params[i].name) != 0) {
            continue;
        }
        if (in->params[i].kind == SF_PARAM_SIDS) {
            return keep_sid(in, i, value);
        }
        if (in->values[i]) {
            return sf_error_bad_request(in->pool, "%s is given more than once", name);
        }
        in->values[i] = value;
    }
    return NULL;
}

static const sf_error *split(const reading *in, char *text)
{
    const sf_error *error = NULL;
    char *last;
    char *name;

    for (name = apr_strtok(text, "&", &last); name && !error; name = apr_strtok(NULL, "&", &last)) {
        char *value = strchr(name, '=');

        if (value) {
            *value++ = '\0';
        }
        else {
            value = apr_pstrdup(in->pool, "");
        }
        error = decode(in, name);
        error = error ? error : decode(in, value);
        error = error ? error : keep(in, name, value);
    }
    return error;
}

static int is_form_type(const char *type)
{
    size_t length = strlen(FORM_TYPE);

    return type && ap_cstr_casecmpn(type, FORM_TYPE, length) == 0
           && strchr("; \t", type[length]) != NULL; /* or the end */
}

/* The form as sent. A body of another type is not read, and one without a type must be empty. */
static const sf_error *read_form(const reading *in, char **text)
{
    request_rec *r = in->request->r;
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    const sf_error *error;
    apr_size_t length;

    if (type && !is_form_type(type)) {
        return sf_error_of_status(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE);
    }
    error = sf_body_read(r, sf_config_form_limit(r), text, &length);
    if (error) {
        return error;
    }
    if (!type && length > 0) {
        return sf_error_of_status(r->pool, HTTP_UNSUPPORTED_MEDIA_TYPE);
    }
    return strlen(*text) == length
               ? NULL
               : sf_error_bad_request(in->pool, "The body must not contain NUL");
}

const sf_error *sf_params_read(const sf_request *request, const sf_param *params,
                               const char **values)
{
    reading in = { request, request->r->pool, params, values, { NULL } };
    const sf_error *error = NULL;
    char *text = NULL;
    int i;

    for (i = 0; params[i].name; i++) {
        values[i] = NULL;
        if (params[i].kind == SF_PARAM_SIDS) {
            in.lists[i] = apr_array_make(request->r->pool, 8, sizeof(const char *));
        }
    }
    if (sf_request_is_read(request)) {
        text = apr_pstrdup(request->r->pool, request->r->args ? request->r->args : "");
    }
    else {
        error = read_form(&in, &text);
    }
    error = error ? error : split(&in, text);
    for (i = 0; params[i].name && !error; i++) {
        if (params[i].kind == SF_PARAM_SIDS) {
            values[i] = array_literal(request->r->pool, in.lists[i]);
        }
        else {
            error = check(&in, &params[i], &values[i]);
        }
    }
    return error;
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
