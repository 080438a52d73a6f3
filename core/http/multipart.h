/* The parser of multipart/form-data (RFC 7578). It takes bytes as they arrive, and passes those
 * of a part on at once: it keeps a part's header, and the number of bytes that match a
 * delimiter. It knows nothing of httpd, so that it can be tested and fuzzed alone. */
#ifndef SF_MULTIPART_H
#define SF_MULTIPART_H

#include <stddef.h>

#define SF_MULTIPART_BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */
#define SF_MULTIPART_HEADER_MAX 4096 /* bytes, of one part */
#define SF_MULTIPART_NAME_MAX 64
#define SF_MULTIPART_PARTS_MAX 16

/* The receiver of the parts. Each function returns 1, or 0 to end the parsing. */
typedef struct {
    int (*begin)(void *data, const char *name, const char *type); /* Content-Type, or NULL */
    int (*bytes)(void *data, const char *bytes, size_t size);
    int (*end)(void *data);
} sf_multipart_sink;

typedef enum {
    SF_MULTIPART_PREAMBLE,  /* before the first delimiter */
    SF_MULTIPART_DELIMITER, /* behind a boundary: "--" leads to EPILOGUE, CRLF to HEADER */
    SF_MULTIPART_HEADER,    /* in a part's header: an empty line leads to BYTES */
    SF_MULTIPART_BYTES,     /* in a part's bytes: a delimiter leads to DELIMITER */
    SF_MULTIPART_EPILOGUE,  /* behind the last delimiter, to the end */
    SF_MULTIPART_FAILED     /* malformed, or ended by the sink; to the end */
} sf_multipart_state;

typedef struct {
    const sf_multipart_sink *sink;
    void *data;
    sf_multipart_state state;
    const char *error; /* an error message, or NULL where the sink ended the parsing */
    int parts;
    size_t matched; /* bytes of the delimiter that the last bytes match */
    size_t delimiter_length;
    char delimiter[SF_MULTIPART_BOUNDARY_MAX + 5]; /* CRLF "--" boundary NUL */
    size_t header_length;
    char header[SF_MULTIPART_HEADER_MAX + 1];
} sf_multipart;

/* Copies the boundary of a Content-Type to `boundary`. Returns NULL, or an error message. */
const char *sf_multipart_boundary(const char *content_type,
                                  char boundary[SF_MULTIPART_BOUNDARY_MAX + 1]);

/* Begins a body. `data` is the first argument of the sink's functions. */
void sf_multipart_begin(sf_multipart *body, const char *boundary, const sf_multipart_sink *sink,
                        void *data);

/* Takes the next bytes. Returns 0 once the body is malformed (`error` is set) or the sink has
 * ended the parsing. */
int sf_multipart_feed(sf_multipart *body, const char *bytes, size_t size);

/* Returns whether the last delimiter has come. Called at the end of the body. */
int sf_multipart_is_whole(const sf_multipart *body);

#endif
