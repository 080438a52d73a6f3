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

/* Copies a parameter's value, quoted or not, to `value`. Returns its end in `from`, or NULL
 * where the value is malformed or longer than `room` - 1. */
static const char *read_value(const char *from, char *value, size_t room)
{
    const int quoted = *from == '"';
    size_t length = 0;

    if (quoted) {
        from++;
    }
    while (*from && (quoted ? *from != '"' : !strchr("; \t", *from))) {
        if (quoted && *from == '\\' && from[1]) {
            from++;
        }
        if (length + 1 >= room) {
            return NULL;
        }
        value[length++] = *from++;
    }
    value[length] = '\0';
    if (!quoted) {
        return from;
    }
    return *from == '"' ? from + 1 : NULL;
}

typedef enum { PARAMETER_MISSING, PARAMETER_FOUND, PARAMETER_MALFORMED } parameter_result;

/* Finds the parameter `name` in a header's value ("form-data; name=x") and copies its value. */
static parameter_result find_parameter(const char *header, const char *name, char *value,
                                       size_t room)
{
    const size_t length = strlen(name);
    char other[SF_MULTIPART_HEADER_MAX + 1];

    header += strcspn(header, ";");
    while (*header == ';') {
        header++;
        header += strspn(header, " \t");
        if (strncasecmp(header, name, length) == 0 && header[length] == '=') {
            return read_value(header + length + 1, value, room) ? PARAMETER_FOUND
                                                                : PARAMETER_MALFORMED;
        }
        header += strcspn(header, "=;");
        if (*header == '=') {
            header = read_value(header + 1, other, sizeof(other));
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
    const char *at;

    switch (find_parameter(content_type, "boundary", boundary, SF_MULTIPART_BOUNDARY_MAX + 1)) {
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

/* Returns the value of a header field, in lines that end with NUL; or NULL. */
static const char *header_field(const sf_multipart *body, const char *name)
{
    const char *line = body->header;
    const size_t length = strlen(name);

    while (line < body->header + body->header_length) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1;
            return line + strspn(line, " \t");
        }
        line += strlen(line) + 1;
    }
    return NULL;
}

/* Ends each line of the header with NUL instead of CRLF. */
static void cut_lines(sf_multipart *body)
{
    char *at = body->header;
    char *end;

    while ((end = strstr(at, "\r\n")) != NULL) {
        end[0] = '\0';
        end[1] = '\0';
        at = end + 2;
    }
}

/* Checks a part's header, which is whole now, and begins the part. */
static int begin_part(sf_multipart *body)
{
    char name[SF_MULTIPART_NAME_MAX + 1];
    const char *disposition;
    const char *encoding;

    if (memchr(body->header, '\0', body->header_length)) {
        return fail(body, "A part's header holds a NUL");
    }
    cut_lines(body);
    if (memchr(body->header, '\r', body->header_length)
        || memchr(body->header, '\n', body->header_length)) {
        return fail(body, "A part's header has a line that does not end with CRLF");
    }
    disposition = header_field(body, "Content-Disposition");
    encoding = header_field(body, "Content-Transfer-Encoding");
    if (!disposition || strncasecmp(disposition, "form-data", 9) != 0
        || find_parameter(disposition, "name", name, sizeof(name)) != PARAMETER_FOUND) {
        return fail(body, "A part has no name");
    }
    if (encoding && strcasecmp(encoding, "binary") != 0 && strcasecmp(encoding, "8bit") != 0
        && strcasecmp(encoding, "7bit") != 0) {
        return fail(body, "A part has a Content-Transfer-Encoding that is not supported");
    }
    body->state = SF_MULTIPART_BYTES;
    body->matched = 0;
    return sink_result(body,
                       body->sink->begin(body->data, name, header_field(body, "Content-Type")));
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
