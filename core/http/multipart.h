/* multipart/form-data (RFC 7578), taken in as it arrives: a part's bytes are handed on at once and
 * nothing but a delimiter's beginning or a part's header is kept. Knows nothing of httpd, so that it
 * can be tested and fuzzed alone. */
#ifndef SF_MULTIPART_H
#define SF_MULTIPART_H

#include <stddef.h>

#define SF_MULTIPART_BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */
#define SF_MULTIPART_HEADER_MAX 4096 /* bytes, of one part */
#define SF_MULTIPART_NAME_MAX 64
#define SF_MULTIPART_PARTS_MAX 16

/* Who takes the parts. Each function returns 0 to have parsing stop there. */
typedef struct {
    int (*begin)(void *data, const char *name, const char *type); /* Content-Type, or NULL */
    int (*bytes)(void *data, const char *bytes, size_t size);
    int (*end)(void *data);
} sf_multipart_sink;

typedef enum {
    SF_MULTIPART_PREAMBLE,
    SF_MULTIPART_DELIMITER, /* after the boundary: is it the last? */
    SF_MULTIPART_HEADER,
    SF_MULTIPART_BYTES,
    SF_MULTIPART_EPILOGUE,
    SF_MULTIPART_FAILED
} sf_multipart_state;

typedef struct {
    const sf_multipart_sink *sink;
    void *data;
    sf_multipart_state state;
    const char *error; /* what is wrong with the body, or NULL where the sink stopped it */
    int parts;
    size_t matched; /* bytes of the delimiter */
    size_t delimiter_length;
    char delimiter[SF_MULTIPART_BOUNDARY_MAX + 5]; /* CRLF "--" boundary NUL */
    size_t header_length;
    char header[SF_MULTIPART_HEADER_MAX + 1];
} sf_multipart;

/* Copies the boundary of a Content-Type to `boundary`. Returns NULL, or what is wrong with it. */
const char *sf_multipart_boundary(const char *content_type,
                                  char boundary[SF_MULTIPART_BOUNDARY_MAX + 1]);

/* Begins a body with this boundary. */
void sf_multipart_begin(sf_multipart *body, const char *boundary, const sf_multipart_sink *sink,
                        void *data);

/* Takes the next bytes. Returns 0 once the body is malformed (`error` says how) or the sink has
 * stopped it. */
int sf_multipart_feed(sf_multipart *body, const char *bytes, size_t size);

/* Whether the body was complete: to be asked when it has ended. */
int sf_multipart_is_whole(const sf_multipart *body);

#endif
