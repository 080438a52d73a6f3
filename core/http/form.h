/* Forms: texts of the type application/x-www-form-urlencoded, such as "a=1&b=2". A query has the same
 * form. */
#ifndef SF_FORM_H
#define SF_FORM_H

/* A decoded parameter, without NUL. */
typedef struct {
    const char *name;
    const char *value;
} sf_form_parameter;

typedef enum {
    SF_FORM_PARAMETER, /* there is a parameter */
    SF_FORM_END,       /* there is none */
    SF_FORM_NUL,       /* the next one has a NUL (%00) */
    SF_FORM_MALFORMED  /* the next one has a malformed percent-encoding */
} sf_form_result;

/* Returns whether a Content-Type, which may be NULL, is that of a form, whatever its parameters. */
int sf_form_is_type(const char *type);

/* Takes the next parameter off the text at `*rest`, which it changes: the parameter is decoded in place.
 * A parameter without "=" has the value "". Empty ones ("a=1&&b=2") are skipped. `*rest` is NULL at the
 * end. `parameter` is set with SF_FORM_PARAMETER alone. */
sf_form_result sf_form_next(char **rest, sf_form_parameter *parameter);

#endif
