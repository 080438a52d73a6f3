/* Feeds core/http/multipart.c with bodies, whole and mutated, and checks what must hold of any:
 *
 *   - a well-formed body gives back its parts, to the byte;
 *   - how a body is cut into pieces makes no difference;
 *   - the sink is called in order, never again once it or the body has failed;
 *   - a failure is final, and an accepted boundary is one.
 *
 * t/multipart_fuzz.t compiles it with the address and undefined behaviour sanitizers and runs it:
 *
 *   multipart_fuzz FIRST_SEED SEEDS
 *
 * A seed stands for a body and all that is done to it; "multipart_fuzz SEED 1" repeats one. By hand,
 * for as long as wanted, guided by coverage:
 *
 *   clang -g -O1 -I. -DLIBFUZZER -fsanitize=fuzzer,address,undefined \
 *       t/unit/multipart_fuzz.c core/http/multipart.c -o build/multipart_fuzz
 *   build/multipart_fuzz -max_len=4096 */
#include "core/http/multipart.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 65536
#define STOP_NEVER ((size_t)-1)

static uint64_t seed;
static uint64_t state;

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "seed %llu: line %d: %s\n", (unsigned long long)seed, __LINE__,        \
                    #condition);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)


/* Chance ----------------------------------------------------------------------------------------- */

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1DULL;
}

static void set_seed(uint64_t value)
{
    seed = value;
    state = (value + 1) * 0x9E3779B97F4A7C15ULL;
    any();
}

static size_t below(size_t limit)
{
    return (size_t)((any() >> 16) % limit);
}


/* Texts ------------------------------------------------------------------------------------------ */

typedef struct {
    char bytes[BODY_MAX];
    size_t length;
} text;

static void add(text *to, const char *bytes, size_t length)
{
    REQUIRE(length <= sizeof(to->bytes) - to->length);
    memcpy(to->bytes + to->length, bytes, length);
    to->length += length;
}

static void add_string(text *to, const char *string)
{
    add(to, string, strlen(string));
}

static int same(const text *one, const text *other)
{
    return one->length == other->length && memcmp(one->bytes, other->bytes, one->length) == 0;
}

static int holds(const text *in, size_t from, const char *what, size_t length)
{
    for (; from + length <= in->length; from++) {
        if (memcmp(in->bytes + from, what, length) == 0) {
            return 1;
        }
    }
    return 0;
}


/* What came of a body ---------------------------------------------------------------------------- */

typedef struct {
    text log; /* "[name]", the bytes, "[/]" of each part */
    int inside;
    int parts;
    size_t calls;
    size_t stop_at; /* the call that says to stop */
    int stopped;
    int accepted;
    int whole;
    const char *error;
} outcome;

static int called(outcome *seen)
{
    REQUIRE(!seen->stopped);
    seen->stopped = ++seen->calls == seen->stop_at;
    return !seen->stopped;
}

static int begin(void *data, const char *name, const char *type)
{
    outcome *seen = data;

    REQUIRE(!type || (strlen(type) <= SF_MULTIPART_HEADER_MAX && !strpbrk(type, "\r\n")));
    REQUIRE(!seen->inside);
    REQUIRE(strlen(name) <= SF_MULTIPART_NAME_MAX);
    REQUIRE(++seen->parts <= SF_MULTIPART_PARTS_MAX);
    seen->inside = 1;
    add_string(&seen->log, "[");
    add_string(&seen->log, name);
    add_string(&seen->log, "]");
    return called(seen);
}

static int bytes(void *data, const char *bytes, size_t size)
{
    outcome *seen = data;

    REQUIRE(seen->inside);
    REQUIRE(size > 0);
    add(&seen->log, bytes, size);
    return called(seen);
}

static int end(void *data)
{
    outcome *seen = data;

    REQUIRE(seen->inside);
    seen->inside = 0;
    add_string(&seen->log, "[/]");
    return called(seen);
}

/* Feeds a body in pieces of up to `most` bytes, each in memory of its own size. */
static void parse(const char *boundary, const char *body, size_t length, size_t most,
                  size_t stop_at, outcome *seen)
{
    static const sf_multipart_sink sink = {begin, bytes, end};
    sf_multipart parser;

    memset(seen, 0, sizeof(*seen));
    seen->stop_at = stop_at;
    seen->accepted = 1;
    sf_multipart_begin(&parser, boundary, &sink, seen);
    while (length > 0) {
        const size_t size = 1 + below(most < length ? most : length);
        char *piece = malloc(size);
        int accepted;

        memcpy(piece, body, size);
        accepted = sf_multipart_feed(&parser, piece, size);
        free(piece);
        REQUIRE(!accepted || seen->accepted); /* a failure is final */
        seen->accepted = accepted;
        body += size;
        length -= size;
    }
    seen->whole = sf_multipart_is_whole(&parser);
    seen->error = parser.error;
    REQUIRE(!(seen->whole && !seen->accepted));
    REQUIRE(!(seen->whole && seen->inside));
    REQUIRE(!seen->accepted || !seen->error);
    REQUIRE(seen->stopped ? !seen->accepted && !seen->error : seen->accepted || seen->error);
}

static void require_same(const outcome *one, const outcome *other)
{
    REQUIRE(one->accepted == other->accepted);
    REQUIRE(one->whole == other->whole);
    REQUIRE(one->error == other->error);
    REQUIRE(one->parts == other->parts);
    REQUIRE(one->inside == other->inside);
    REQUIRE(same(&one->log, &other->log));
}

/* A body as one piece, byte by byte and in others; then with a sink that stops. */
static void check_body(const char *boundary, const char *body, size_t length, outcome *seen)
{
    static outcome other;
    const size_t sizes[] = {1, 2, 16, 1 + below(5000), 8192};
    size_t i;

    parse(boundary, body, length, length, STOP_NEVER, seen);
    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        parse(boundary, body, length, sizes[i], STOP_NEVER, &other);
        require_same(seen, &other);
    }
    parse(boundary, body, length, 1 + below(100), 1 + below(20), &other);
}


/* Boundaries ------------------------------------------------------------------------------------- */

static const char alphabet[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ";

static void check_boundary(const char *content_type)
{
    char boundary[SF_MULTIPART_BOUNDARY_MAX + 1];
    char *copy = strdup(content_type); /* to notice a read behind its end */

    if (!sf_multipart_boundary(copy, boundary)) {
        const size_t length = strlen(boundary);

        REQUIRE(length >= 1 && length <= SF_MULTIPART_BOUNDARY_MAX);
        REQUIRE(strspn(boundary, alphabet) == length && boundary[length - 1] != ' ');
    }
    free(copy);
}

#ifdef LIBFUZZER

/* The first byte is the boundary's length, then come the boundary and the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome seen;
    char boundary[SF_MULTIPART_BOUNDARY_MAX + 1] = "";
    size_t length = size > 0 ? 1 + data[0] % SF_MULTIPART_BOUNDARY_MAX : 0;
    size_t i;

    if (size <= 1 + length || size > BODY_MAX / 2) {
        return 0;
    }
    for (i = 0; i < length; i++) {
        boundary[i] = alphabet[data[1 + i] % (sizeof(alphabet) - 1)];
    }
    set_seed(size);
    check_body(boundary, (const char *)data + 1 + length, size - 1 - length, &seen);
    check_boundary(boundary);
    return 0;
}

#else


/* Bodies ----------------------------------------------------------------------------------------- */

static size_t make_boundary(char boundary[SF_MULTIPART_BOUNDARY_MAX + 1])
{
    const size_t length = 1 + below(below(2) ? 4 : SF_MULTIPART_BOUNDARY_MAX);
    size_t i;

    for (i = 0; i < length; i++) {
        boundary[i] = below(3) ? '-' : alphabet[below(sizeof(alphabet) - 2)]; /* no blank */
    }
    boundary[length] = '\0';
    return length;
}

/* Bytes of which many look like the beginning of a delimiter. */
static void add_noise(text *to, const char *delimiter, size_t pieces)
{
    while (pieces-- > 0) {
        switch (below(6)) {
        case 0:
            add(to, delimiter, below(strlen(delimiter)));
            break;
        case 1:
            add(to, "\r\n", 1 + below(2));
            break;
        case 2:
            add_string(to, delimiter + 2);
            break;
        case 3: {
            const char byte = (char)below(256);

            add(to, &byte, 1);
            break;
        }
        case 4:
            add_string(to, "--");
            break;
        default:
            add(to, "exports.handler = function (context, event, callback) {};\n",
                below(sizeof("exports.handler = function (context, event, callback) {};\n")));
        }
    }
}

static void add_header(text *body, const char *name)
{
    static const char *const before[] = {"", "X-A: b\r\n", "X-B:\r\n\t; name=\"no\"\r\n"};
    static const char *const first[] = {"", " filename=\"a\\\"; name=\\\"b\";", " filename=\"C:\\a\\\";",
                                        "\r\n ", " other=1;\r\n\t \r\n "};
    static const char *const after[] = {"", "; filename=\"f\"", "; filename=\"a\\\"; name=\\\"b\"",
                                        "; other=1 ", "\r\n ; filename=\"a\\\""};
    static const char *const more[] = {"", "Content-Type: text/plain\r\n",
                                       "content-transfer-encoding: BINARY\r\n",
                                       "Content-Type: a/b;\r\n c=d\r\n"};

    add_string(body, before[below(3)]);
    add_string(body, "Content-Disposition: form-data;");
    add_string(body, first[below(5)]);
    add_string(body, " name=\"");
    add_string(body, name);
    add_string(body, "\"");
    add_string(body, after[below(5)]);
    add_string(body, "\r\n");
    add_string(body, more[below(4)]);
    add_string(body, "\r\n");
}

/* A well-formed body to `body`, what the sink must see of it to `log`. */
static void make_body(const char *delimiter, text *body, text *log)
{
    const size_t parts = below(20) ? below(6) : below(SF_MULTIPART_PARTS_MAX + 1);
    size_t i;

    if (below(2)) { /* a preamble */
        add_noise(body, delimiter, below(5));
        add_string(body, "\r\n");
        if (holds(body, 0, delimiter, strlen(delimiter))
            || (body->length >= strlen(delimiter) - 2
                && memcmp(body->bytes, delimiter + 2, strlen(delimiter) - 2) == 0)) {
            body->length = 0;
        }
    }
    if (body->length >= 2) {
        body->length -= 2; /* the delimiter has its own */
        add_string(body, delimiter);
    }
    else {
        add_string(body, delimiter + 2);
    }
    for (i = 0; i < parts; i++) {
        static const char *const names[] = {"Path", "Visibility", "Content", "", "a b"};
        const char *name = names[below(5)];
        size_t from;

        add_string(body, below(4) ? "\r\n" : " \t\r\n");
        add_header(body, name);
        from = body->length;
        add_noise(body, delimiter, below(below(10) || parts > 6 ? 10 : 200));
        if (holds(body, from, delimiter, strlen(delimiter))) {
            body->length = from;
        }
        add_string(log, "[");
        add_string(log, name);
        add_string(log, "]");
        add(log, body->bytes + from, body->length - from);
        add_string(log, "[/]");
        add_string(body, delimiter);
    }
    add_string(body, "--");
    add_noise(body, delimiter, below(4));
}

/* As many as a body may have in all. */
static void add_parts(text *body, const char *delimiter)
{
    int i;

    for (i = 0; i < SF_MULTIPART_PARTS_MAX; i++) {
        add_string(body, delimiter);
        add_string(body, "\r\n");
        add_header(body, "more");
    }
}

static void mutate(text *body, const char *delimiter)
{
    size_t times = 1 + below(4);

    while (times-- > 0 && body->length > 0) {
        const size_t at = below(body->length < BODY_MAX / 2 ? body->length : BODY_MAX / 2);
        const size_t length = 1 + below(below(2) ? 4 : body->length - at);
        const size_t size = length < body->length - at ? length : body->length - at;
        static text rest;

        rest.length = 0;
        switch (below(5)) {
        case 0: /* cut off */
            body->length = at;
            break;
        case 1: /* left out */
            memmove(body->bytes + at, body->bytes + at + size, body->length - at - size);
            body->length -= size;
            break;
        case 2: /* changed */
            body->bytes[at] = below(2) ? "\r\n-\0 \":;="[below(9)] : (char)below(256);
            break;
        case 3: /* put in */
            add(&rest, body->bytes + at, body->length - at);
            body->length = at;
            if (below(5) == 0) {
                add_parts(body, delimiter);
            }
            else if (below(5) == 0) {
                memset(body->bytes + body->length, 'x', SF_MULTIPART_HEADER_MAX);
                body->length += SF_MULTIPART_HEADER_MAX;
            }
            else {
                add_noise(body, delimiter, 1 + below(3));
            }
            if (rest.length <= BODY_MAX - body->length) {
                add(body, rest.bytes, rest.length);
            }
            break;
        default: /* repeated */
            add(&rest, body->bytes + at, body->length - at);
            if (size + rest.length <= BODY_MAX / 2 - at) {
                body->length = at + size;
                add(body, rest.bytes, rest.length);
            }
        }
    }
}

static void mutate_boundary(void)
{
    static const char *const pieces[] = {"boundary=",
                                         "; ",
                                         "\"",
                                         "\\",
                                         "=",
                                         "a",
                                         "b-c",
                                         "charset",
                                         "\t",
                                         ";",
                                         "?",
                                         "'",
                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    text type = {.length = 0};
    size_t count = below(12);

    add_string(&type, "multipart/form-data; ");
    while (count-- > 0) {
        add_string(&type, pieces[below(sizeof(pieces) / sizeof(*pieces))]);
    }
    type.bytes[type.length] = '\0';
    check_boundary(type.bytes);
}

/* Returns whether the mutated body was still whole. */
static int run(void)
{
    static text body;
    static text log;
    static outcome seen;
    char boundary[SF_MULTIPART_BOUNDARY_MAX + 1];
    char delimiter[SF_MULTIPART_BOUNDARY_MAX + 5];

    body.length = 0;
    log.length = 0;
    make_boundary(boundary);
    snprintf(delimiter, sizeof(delimiter), "\r\n--%s", boundary);

    make_body(delimiter, &body, &log);
    check_body(boundary, body.bytes, body.length, &seen);
    REQUIRE(seen.accepted && seen.whole && !seen.error);
    REQUIRE(same(&seen.log, &log));

    mutate(&body, delimiter);
    check_body(boundary, body.bytes, body.length, &seen);
    mutate_boundary();
    return seen.whole;
}

int main(int count, char **arguments)
{
    const unsigned long first = count > 1 ? strtoul(arguments[1], NULL, 10) : 1;
    const unsigned long seeds = count > 2 ? strtoul(arguments[2], NULL, 10) : 1;
    unsigned long whole = 0;
    unsigned long i;

    for (i = 0; i < seeds; i++) {
        set_seed(first + i);
        whole += (unsigned long)run();
    }
    printf("%lu bodies, %lu of them whole after mutation\n", seeds, whole);
    return 0;
}

#endif
