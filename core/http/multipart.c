#include "core/http/multipart.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Ends the parsing with an error message, or with NULL where the sink has stopped it. Returns 0. */
static int fail(sf_multipart *body, const char *error)
{
    body->state = SF_MULTIPART_FAILED;
    body->error = error;
    return 0;
}

/* Passes on a sink's result: 0 ends the parsing. */
static int sink_result(sf_multipart *body, int result)
{
    return result ? 1 : fail(body, NULL);
}


/* Header parameters --------------------------------------------------------------------------- */

/* The meaning of a backslash in a quoted value: that the next character is part of the value, also
 * if it is a quote (RFC 9110); or none (HTML, which writes a quote as %22). */
typedef enum { BACKSLASH_ESCAPES, BACKSLASH_IS_PLAIN } backslash;

/* A text with room for `room` - 1 characters. */
typedef struct {
    char *text;
    size_t room;
} value_buffer;

/* Copies a parameter's value, quoted or not, to `value`. Returns its end in `from`, or NULL where
 * the value is malformed or has no room. */
static const char *read_value(const char *from, backslash reading, const value_buffer *value)
{
    const int quoted = *from == '"';
    size_t length = 0;

    if (quoted) {
        from++;
    }
    while (*from && *from != '"' && (quoted || !strchr("; \t", *from))) {
        if (quoted && reading == BACKSLASH_ESCAPES && *from == '\\' && from[1]) {
            from++;
        }
        if (length + 1 >= value->room) {
            return NULL;
        }
        value->text[length++] = *from++;
    }
    value->text[length] = '\0';
    if (quoted && *from++ != '"') {
        return NULL;
    }
    return strchr("; \t", *from) ? from : NULL; /* or the end */
}

typedef enum { PARAMETER_MISSING, PARAMETER_FOUND, PARAMETER_MALFORMED } parameter_result;

/* Finds the parameter `name` in a header's value ("form-data; name=x") and copies its value. Does
 * not look at the parameters behind it. */
static parameter_result find_parameter(const char *header, const char *name, backslash reading,
                                       const value_buffer *value)
{
    const size_t length = strlen(name);
    char other[SF_MULTIPART_HEADER_MAX + 1];
    const value_buffer skipped = { other, sizeof(other) };

    header += strcspn(header, ";");
    while (*header == ';') {
        header++;
        header += strspn(header, " \t");
        if (strncasecmp(header, name, length) == 0 && header[length] == '=') {
            return read_value(header + length + 1, reading, value) ? PARAMETER_FOUND
                                                                   : PARAMETER_MALFORMED;
        }
        header += strcspn(header, "=;");
        if (*header == '=') {
            header = read_value(header + 1, reading, &skipped);
            if (!header) {
                return PARAMETER_MALFORMED;
            }
        }
        header += strspn(header, " \t");
    }
    return *header ? PARAMETER_MALFORMED : PARAMETER_MISSING;
}

const char *sf_multipart_boundary(const char *content_type,
                                  char boundary[SF_MULTIPART_BOUNDARY_MAX + 1])
{
    const value_buffer value = { boundary, SF_MULTIPART_BOUNDARY_MAX + 1 };
    const char *at;

    switch (find_parameter(content_type, "boundary", BACKSLASH_ESCAPES, &value)) {
    case PARAMETER_MISSING:
        return "The content type has no boundary";
    case PARAMETER_FOUND:
        break;
    case PARAMETER_MALFORMED:
        return "The content type's boundary is malformed";
    }
    for (at = boundary; *at; at++) {
        if (!isalnum((unsigned char)*at) && !strchr("'()+_,-./:=? ", *at)) {
            return "The content type's boundary is malformed";
        }
    }
    return at == boundary || at[-1] == ' ' ? "The content type's boundary is malformed" : NULL;
}


/* A part's header ----------------------------------------------------------------------------- */

/* Completes a line that ends at `end`: without the blanks at its end, and with a NUL. Returns the
 * place of the next line. */
static char *end_line(const char *line, char *end)
{
    while (end > line && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *end++ = '\0';
    return end;
}

/* Ends each line of the header with NUL instead of CRLF. A line that begins with a blank continues
 * the line before: one blank then replaces the CRLF and the blanks behind it. */
static void cut_lines(sf_multipart *body)
{
    const char *from = body->header;
    char *to = body->header;
    char *line = to;

    while (*from) {
        if (strncmp(from, "\r\n", 2) != 0) {
            *to++ = *from++;
        }
        else if (from[2] == ' ' || from[2] == '\t') {
            from += 2 + strspn(from + 2, " \t");
            *to++ = ' ';
        }
        else {
            from += 2;
            to = line = end_line(line, to);
        }
    }
    body->header_length = (size_t)(to - body->header);
}

/* Returns the first line from `line` on that is the header field `name`, or NULL. */
static const char *find_field(const sf_multipart *body, const char *line, const char *name)
{
    const size_t length = strlen(name);

    while (line < body->header + body->header_length) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            return line;
        }
        line += strlen(line) + 1;
    }
    return NULL;
}

/* Returns the value of a header field, or NULL. */
static const char *field_value(const sf_multipart *body, const char *name)
{
    const char *line = find_field(body, body->header, name);

    if (!line) {
        return NULL;
    }
    line += strlen(name) + 1;
    return line + strspn(line, " \t");
}

/* Checks that each line is a header field, "name: value". The empty line ends the header. */
static const char *check_lines(const sf_multipart *body)
{
    const char *line = body->header;

    if (memchr(line, '\r', body->header_length) || memchr(line, '\n', body->header_length)) {
        return "A part's header has a line that does not end with CRLF";
    }
    while (*line) {
        const char *end = line;

        while (isalnum((unsigned char)*end) || (*end && strchr("!#$%&'*+-.^_`|~", *end))) {
            end++;
        }
        if (end == line || *end != ':') {
            return "A part's header has a line that is not a header field";
        }
        line += strlen(line) + 1;
    }
    return NULL;
}

/* Checks the fields that the parser reads. Of two, readers of the header may take either. */
static const char *check_fields(const sf_multipart *body)
{
    static const char *const names[]
        = { "Content-Disposition", "Content-Type", "Content-Transfer-Encoding" };
    const char *encoding = field_value(body, names[2]);
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *line = find_field(body, body->header, names[i]);

        if (line && find_field(body, line + strlen(line) + 1, names[i])) {
            return "A part's header has a header field twice";
        }
    }
    if (encoding && strcasecmp(encoding, "binary") != 0 && strcasecmp(encoding, "8bit") != 0
        && strcasecmp(encoding, "7bit") != 0) {
        return "A part has a Content-Transfer-Encoding that is not supported";
    }
    return NULL;
}

/* Reads a part's name. Clients differ in the meaning of a backslash, and a file name may end in one:
 * so the reading counts in which the header is well-formed, and both must agree if both are.
 * Returns NULL, or an error message. */
static const char *read_name(const char *disposition, char name[SF_MULTIPART_NAME_MAX + 1])
{
    char plain[SF_MULTIPART_NAME_MAX + 1];
    const value_buffer one = { name, SF_MULTIPART_NAME_MAX + 1 };
    const value_buffer other = { plain, sizeof(plain) };
    const parameter_result first = find_parameter(disposition, "name", BACKSLASH_ESCAPES, &one);
    const parameter_result second = find_parameter(disposition, "name", BACKSLASH_IS_PLAIN, &other);

    if (first == PARAMETER_MALFORMED && second == PARAMETER_MALFORMED) {
        return "A part's Content-Disposition is malformed, or its name is longer than 64 bytes";
    }
    if (first == PARAMETER_MALFORMED) {
        memcpy(name, plain, sizeof(plain));
    }
    else if (second != PARAMETER_MALFORMED
             && (first != second || (first == PARAMETER_FOUND && strcmp(name, plain) != 0))) {
        return "A part's Content-Disposition has a backslash that can be read in two ways";
    }
    return first == PARAMETER_FOUND || second == PARAMETER_FOUND ? NULL : "A part has no name";
}

/* Returns whether a Content-Disposition is that of a form's part. */
static int is_form_data(const char *disposition)
{
    return strncasecmp(disposition, "form-data", 9) == 0 && strchr("; \t", disposition[9]);
}

/* Reads a part's header, which is whole now, and copies its name. Returns NULL, or an error
 * message. */
static const char *read_header(sf_multipart *body, char name[SF_MULTIPART_NAME_MAX + 1])
{
    const char *disposition;
    const char *error;

    if (memchr(body->header, '\0', body->header_length)) {
        return "A part's header holds a NUL";
    }
    cut_lines(body);
    error = check_lines(body);
    error = error ? error : check_fields(body);
    if (error) {
        return error;
    }
    disposition = field_value(body, "Content-Disposition");
    return disposition && is_form_data(disposition) ? read_name(disposition, name)
                                                    : "A part has no name";
}

/* Begins a part. */
static int begin_part(sf_multipart *body)
{
    char name[SF_MULTIPART_NAME_MAX + 1];
    const char *error = read_header(body, name);

    if (error) {
        return fail(body, error);
    }
    body->state = SF_MULTIPART_BYTES;
    body->matched = 0;
    return sink_result(body,
                       body->sink->begin(body->data, name, field_value(body, "Content-Type")));
}

/* Takes one byte of a part's header. An empty line ends the header, which may be empty itself. */
static int take_header_byte(sf_multipart *body, char byte)
{
    if (body->header_length >= SF_MULTIPART_HEADER_MAX) {
        return fail(body, "A part's header is too long");
    }
    body->header[body->header_length++] = byte;
    body->header[body->header_length] = '\0';
    if (body->header_length == 2 && memcmp(body->header, "\r\n", 2) == 0) {
        return begin_part(body);
    }
    if (body->header_length >= 4
        && memcmp(body->header + body->header_length - 4, "\r\n\r\n", 4) == 0) {
        return begin_part(body);
    }
    return 1;
}


/* Delimiters and bytes ------------------------------------------------------------------------ */

/* Passes bytes of a part to the sink. Bytes of the preamble are dropped. */
static int pass_bytes(sf_multipart *body, const char *bytes, size_t size)
{
    if (body->state != SF_MULTIPART_BYTES || size == 0) {
        return 1;
    }
    return sink_result(body, body->sink->bytes(body->data, bytes, size));
}

/* Ends the part before a delimiter that is complete, if there is one. */
static int end_part(sf_multipart *body)
{
    const int inside = body->state == SF_MULTIPART_BYTES;

    body->state = SF_MULTIPART_DELIMITER;
    body->header_length = 0;
    return sink_result(body, !inside || body->sink->end(body->data));
}

/* Takes bytes of a part or of the preamble, up to the end of a delimiter. Returns the number of
 * bytes taken. A delimiter begins with CR and has no other CR, so that the bytes of a failed
 * match hold no beginning of another match. */
static size_t search_delimiter(sf_multipart *body, const char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        if (body->matched == 0) {
            const char *cr = memchr(bytes + at, '\r', size - at);
            const size_t run = cr ? (size_t)(cr - bytes) - at : size - at;

            if (!pass_bytes(body, bytes + at, run)) {
                return at;
            }
            at += run;
            if (!cr) {
                break;
            }
        }
        if (bytes[at] == body->delimiter[body->matched]) {
            at++;
            if (++body->matched == body->delimiter_length) {
                end_part(body);
                break;
            }
        }
        else {
            const size_t matched = body->matched;

            body->matched = 0;
            if (!pass_bytes(body, body->delimiter, matched)) {
                break;
            }
        }
    }
    return at;
}

/* Takes one byte behind a delimiter: "--" ends the body, and blanks and CRLF begin a part. */
static int take_delimiter_byte(sf_multipart *body, char byte)
{
    if (body->header_length == 0 && (byte == ' ' || byte == '\t')) {
        return 1;
    }
    body->header[body->header_length++] = byte;
    if (body->header_length < 2) {
        return byte == '-' || byte == '\r' ? 1 : fail(body, "A delimiter is malformed");
    }
    body->header_length = 0;
    if (memcmp(body->header, "--", 2) == 0) {
        body->state = SF_MULTIPART_EPILOGUE;
        return 1;
    }
    if (memcmp(body->header, "\r\n", 2) != 0) {
        return fail(body, "A delimiter is malformed");
    }
    body->state = SF_MULTIPART_HEADER;
    return ++body->parts <= SF_MULTIPART_PARTS_MAX ? 1 : fail(body, "The body has too many parts");
}


/* Bodies -------------------------------------------------------------------------------------- */

void sf_multipart_begin(sf_multipart *body, const char *boundary, const sf_multipart_sink *sink,
                        void *data)
{
    body->sink = sink;
    body->data = data;
    body->state = SF_MULTIPART_PREAMBLE;
    body->error = NULL;
    body->parts = 0;
    body->header_length = 0;
    body->delimiter_length
        = (size_t)snprintf(body->delimiter, sizeof(body->delimiter), "\r\n--%s", boundary);
    body->matched = 2; /* CRLF: the first delimiter needs none before it */
}

int sf_multipart_feed(sf_multipart *body, const char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        switch (body->state) {
        case SF_MULTIPART_PREAMBLE:
        case SF_MULTIPART_BYTES:
            at += search_delimiter(body, bytes + at, size - at);
            break;
        case SF_MULTIPART_DELIMITER:
            take_delimiter_byte(body, bytes[at++]);
            break;
        case SF_MULTIPART_HEADER:
            take_header_byte(body, bytes[at++]);
            break;
        case SF_MULTIPART_EPILOGUE:
            return 1;
        case SF_MULTIPART_FAILED:
            return 0;
        }
    }
    return body->state != SF_MULTIPART_FAILED;
}

int sf_multipart_is_whole(const sf_multipart *body)
{
    return body->state == SF_MULTIPART_EPILOGUE;
}
