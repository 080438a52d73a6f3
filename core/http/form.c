#include "core/http/form.h"

#include <httpd.h>
#include <string.h>

#define FORM_TYPE "application/x-www-form-urlencoded"

int sf_form_is_type(const char *type)
{
    const size_t length = strlen(FORM_TYPE);

    return type && ap_cstr_casecmpn(type, FORM_TYPE, length) == 0
           && strchr("; \t", type[length]) != NULL; /* or the end */
}

static sf_form_result decode(char *text)
{
    switch (ap_unescape_urlencoded(text)) {
    case OK:
        return SF_FORM_PARAMETER;
    case HTTP_NOT_FOUND: /* the text has %00 */
        return SF_FORM_NUL;
    default:
        return SF_FORM_MALFORMED;
    }
}

sf_form_result sf_form_next(char **rest, sf_form_parameter *parameter)
{
    char *name = *rest ? *rest + strspn(*rest, "&") : NULL;
    char *value;
    sf_form_result result;

    if (!name || !*name) {
        *rest = NULL;
        return SF_FORM_END;
    }
    *rest = strchr(name, '&');
    if (*rest) {
        *(*rest)++ = '\0';
    }
    value = strchr(name, '=');
    if (value) {
        *value++ = '\0';
    }
    else {
        value = name + strlen(name);
    }
    result = decode(name);
    if (result == SF_FORM_PARAMETER) {
        result = *value ? decode(value) : SF_FORM_PARAMETER;
    }
    parameter->name = name;
    parameter->value = value;
    return result;
}
