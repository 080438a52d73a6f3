#include "core/http/multipart.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int fail(sf_multipart *body, const char *error)
{
    body->state = SF_MULTIPART_FAILED;
    body->error = error;
    return 0;
}

/* The sink had enough; it knows why. */
static int stopped(sf_multipart *body)
{
    return fail(body, NULL);
}


/* Header parameters ------------------------------------------------------------------------------ */

/* Copies a parameter's value, quoted or not, to `value`. Returns where it ends in `from`, or NULL
 * where it is malformed or longer than `room` - 1. */
static const char *read_value(const char *from, char *value, size_t room)
{
    const int quoted = *from == '"';
    size_t length = 0;

    from += quoted;
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
    if (quoted && *from++ != '"') {
        return NULL;
    }
    return from;
}

/* Finds the parameter `name` behind a header's value ("form-data; name=x"). Returns 1 with its value,
 * 0 where it is not there, -1 where the header is malformed. */
static int parameter(const char *header, const char *name, char *value, size_t room)
{
    const size_t length = strlen(name);
    char other[SF_MULTIPART_HEADER_MAX + 1];

    header += strcspn(header, ";");
    while (*header == ';') {
        header++;
        header += strspn(header, " \t");
        if (strncasecmp(header, name, length) == 0 && header[length] == '=') {
            return read_value(header + length + 1, value, room) ? 1 : -1;
        }
        header += strcspn(header, "=;");
        if (*header == '=') {
            header = read_value(header + 1, other, sizeof(other));
            if (!header) {
                return -1;
            }
        }
        header += strspn(header, " \t");
    }
    return *header ? -1 : 0;
}

const char *sf_multipart_boundary(const char *content_type,
                                  char boundary[SF_MULTIPART_BOUNDARY_MAX + 1])
{
    const char *at;

    switch (parameter(content_type, "boundary", boundary, SF_MULTIPART_BOUNDARY_MAX + 1)) {
    case 0:
        return "The content type has no boundary";
    case 1:
        break;
    default:
        return "The content type's boundary is malformed";
    }
    for (at = boundary; *at; at++) {
        if (!isalnum((unsigned char)*at) && !strchr("'()+_,-./:=? ", *at)) {
            return "The content type's boundary is malformed";
        }
    }
    return at == boundary || at[-1] == ' ' ? "The content type's boundary is malformed" : NULL;
}


/* A part's header -------------------------------------------------------------------------------- */

/* The line of this header field in the NUL-separated lines, behind its colon, or NULL. */
static const char *field(const sf_multipart *body, const char *name)
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

/* Ends each line with NUL instead of CRLF. */
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
    disposition = field(body, "Content-Disposition");
    encoding = field(body, "Content-Transfer-Encoding");
    if (!disposition || strncasecmp(disposition, "form-data", 9) != 0
        || parameter(disposition, "name", name, sizeof(name)) != 1) {
        return fail(body, "A part has no name");
    }
    if (encoding && strcasecmp(encoding, "binary") != 0 && strcasecmp(encoding, "8bit") != 0
        && strcasecmp(encoding, "7bit") != 0) {
        return fail(body, "A part has a Content-Transfer-Encoding that is not supported");
    }
    body->state = SF_MULTIPART_BYTES;
    body->matched = 0;
    return body->sink->begin(body->data, name, field(body, "Content-Type")) ? 1 : stopped(body);
}

/* One more byte of the header, which an empty line ends; it may be empty itself. */
static int header_byte(sf_multipart *body, char byte)
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


/* Delimiters and bytes --------------------------------------------------------------------------- */

static int hand_on(sf_multipart *body, const char *bytes, size_t size)
{
    if (body->state != SF_MULTIPART_BYTES || size == 0) {
        return 1; /* a preamble is nobody's */
    }
    return body->sink->bytes(body->data, bytes, size) ? 1 : stopped(body);
}

/* A whole delimiter was seen: the part before it, if any, is complete. */
static int at_delimiter(sf_multipart *body)
{
    const int inside = body->state == SF_MULTIPART_BYTES;

    body->state = SF_MULTIPART_DELIMITER;
    body->header_length = 0;
    return !inside || body->sink->end(body->data) ? 1 : stopped(body);
}

/* Takes bytes of a part, or of what precedes the first, up to the end of a delimiter. Returns how many
 * it took. A CR begins a delimiter and stands nowhere else in it, so a failed match need only be
 * looked at for a CR again. */
static size_t search(sf_multipart *body, const char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        if (body->matched == 0) {
            const char *cr = memchr(bytes + at, '\r', size - at);
            const size_t run = cr ? (size_t)(cr - bytes) - at : size - at;

            if (!hand_on(body, bytes + at, run)) {
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
                at_delimiter(body);
                break;
            }
        }
        else {
            const size_t matched = body->matched;

            body->matched = 0;
            if (!hand_on(body, body->delimiter, matched)) {
                break;
            }
        }
    }
    return at;
}

/* Behind a delimiter: "--" ends the body, CRLF begins a part; blanks may stand before it. */
static int after_delimiter(sf_multipart *body, char byte)
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


/* Bodies ----------------------------------------------------------------------------------------- */

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
    body->matched = 2; /* the first delimiter needs no CRLF before it */
}

int sf_multipart_feed(sf_multipart *body, const char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        switch (body->state) {
        case SF_MULTIPART_PREAMBLE:
        case SF_MULTIPART_BYTES:
            at += search(body, bytes + at, size - at);
            break;
        case SF_MULTIPART_DELIMITER:
            after_delimiter(body, bytes[at++]);
            break;
        case SF_MULTIPART_HEADER:
            header_byte(body, bytes[at++]);
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
