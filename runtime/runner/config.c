#include "runtime/runner/config.h"
#include "runtime/runner/egress_rules.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <ctype.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_SIZE 4096
#define RUNTIME_NAME_MAX 64
#define RUNTIME_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
#define CACHE_BYTES_MIN (1024 * 1024)

static const char *const isolations[] = { "none", "bubblewrap", NULL };
static const char *const egresses[] = { "none", "filtered", "host", NULL };

const char *sf_isolation_name(sf_isolation isolation)
{
    return isolations[isolation];
}

const char *sf_egress_name(sf_egress egress)
{
    return egresses[egress];
}

const sf_runtime *sf_runner_config_runtime(const sf_runner_config *config, const char *name)
{
    int i;

    for (i = 0; i < config->runtimes->nelts; i++) {
        const sf_runtime *runtime = &APR_ARRAY_IDX(config->runtimes, i, sf_runtime);

        if (strcmp(runtime->name, name) == 0) {
            return runtime;
        }
    }
    return NULL;
}


/* Values -------------------------------------------------------------------------------------- */

/* Returns the place of the word in a list that ends with NULL, or -1. */
static int find_word(const char *const *list, const char *word)
{
    int i;

    for (i = 0; list[i]; i++) {
        if (strcmp(list[i], word) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *check_path(apr_pool_t *pool, const char *path, int access_mode)
{
    if (path[0] != '/') {
        return apr_psprintf(pool, "%s is not an absolute path", path);
    }
    if (access(path, access_mode) != 0) {
        return apr_psprintf(pool, "%s cannot be %s by this user", path,
                            access_mode == X_OK ? "executed" : "read");
    }
    return NULL;
}

/* Reads a number of bytes with one of the units K, M and G. Returns whether it is one. */
static int read_bytes(const char *text, apr_off_t *bytes)
{
    static const char units[] = "KMG";
    char *end;
    const char *unit;

    if (!isdigit((unsigned char)*text) || apr_strtoff(bytes, text, &end, 10) != APR_SUCCESS) {
        return 0;
    }
    unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        const int shift = 10 * (int)(unit - units + 1);

        if (*bytes > (APR_INT64_MAX >> shift)) {
            return 0;
        }
        *bytes <<= shift;
        end++;
    }
    return *end == '\0';
}


/* Lines --------------------------------------------------------------------------------------- */

typedef const char *(*setter)(apr_pool_t *pool, sf_runner_config *config, char **values);

static const char *set_control(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const struct sockaddr_un address;

    config->control = values[0];
    if (values[0][0] != '/') {
        return apr_psprintf(pool, "%s is not an absolute path", values[0]);
    }
    /* the name of a new socket is longer, until it takes the place of the old one */
    return strlen(values[0]) + sizeof(".4294967295") <= sizeof(address.sun_path)
               ? NULL
               : apr_psprintf(pool, "%s is too long for the path of a socket", values[0]);
}

static const char *add_client(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const struct passwd *user = getpwnam(values[0]);

    if (!user) {
        return apr_psprintf(pool, "there is no user %s", values[0]);
    }
    APR_ARRAY_PUSH(config->clients, uid_t) = user->pw_uid;
    return NULL;
}

static const char *add_runtime(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const sf_runtime runtime = { values[0], values[1] };

    if (strlen(values[0]) > RUNTIME_NAME_MAX
        || strspn(values[0], RUNTIME_NAME_CHARACTERS) != strlen(values[0])) {
        return apr_psprintf(pool, "%s is not the name of a Runtime", values[0]);
    }
    if (sf_runner_config_runtime(config, values[0])) {
        return apr_psprintf(pool, "the Runtime %s is there already", values[0]);
    }
    APR_ARRAY_PUSH(config->runtimes, sf_runtime) = runtime;
    return check_path(pool, values[1], X_OK);
}

static const char *set_isolation(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const int found = find_word(isolations, values[0]);

    config->isolation = (sf_isolation)found;
    return found >= 0 ? NULL : apr_psprintf(pool, "%s is not none or bubblewrap", values[0]);
}

static const char *set_egress(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const int found = find_word(egresses, values[0]);

    config->egress = (sf_egress)found;
    return found >= 0 ? NULL : apr_psprintf(pool, "%s is not none, filtered or host", values[0]);
}

static const char *add_egress_allow(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    APR_ARRAY_PUSH(config->egress_allow, const char *) = values[0];
    return sf_egress_range_check(pool, values[0]);
}

static const char *set_cache(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    config->cache = values[0];
    if (values[0][0] != '/') {
        return apr_psprintf(pool, "%s is not an absolute path", values[0]);
    }
    return read_bytes(values[1], &config->cache_bytes) && config->cache_bytes >= CACHE_BYTES_MIN
               ? NULL
               : apr_psprintf(pool, "%s is not a size of at least 1M, such as 2G", values[1]);
}

static const char *set_isolate(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    config->isolate = values[0];
    return check_path(pool, values[0], R_OK);
}

static const char *set_twilio(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    config->twilio = values[0];
    return check_path(pool, values[0], R_OK);
}

static const char *set_install(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const char *message = check_path(pool, values[0], R_OK);

    config->install = values[0];
    config->npm = values[1];
    return message ? message : check_path(pool, values[1], X_OK);
}

static const char *set_npm_config(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    config->npm_config = values[0];
    return check_path(pool, values[0], R_OK);
}

/* A cache of npm's has its index in a folder of this name. */
static const char *set_npm_cache(apr_pool_t *pool, sf_runner_config *config, char **values)
{
    const char *index = apr_pstrcat(pool, values[0], "/_cacache/index-v5", NULL);
    const char *message = check_path(pool, values[0], R_OK);
    struct stat found;

    config->npm_cache = values[0];
    if (message) {
        return message;
    }
    if (stat(index, &found) != 0 || !S_ISDIR(found.st_mode)) {
        return apr_psprintf(pool, "%s is not a cache of npm's: it has no folder _cacache/index-v5",
                            values[0]);
    }
    return check_path(pool, index, R_OK);
}

static const struct line {
    const char *name;
    int values;
    int repeatable;
    int required;
    setter set;
} lines[] = {
    { "Control", 1, 0, 1, set_control },      { "Client", 1, 1, 1, add_client },
    { "Runtime", 2, 1, 1, add_runtime },      { "Isolation", 1, 0, 1, set_isolation },
    { "Egress", 1, 0, 1, set_egress },        { "EgressAllow", 1, 1, 0, add_egress_allow },
    { "Cache", 2, 0, 1, set_cache },          { "Isolate", 1, 0, 1, set_isolate },
    { "Twilio", 1, 0, 0, set_twilio },        { "Install", 2, 0, 0, set_install },
    { "NpmConfig", 1, 0, 0, set_npm_config }, { "NpmCache", 1, 0, 0, set_npm_cache },
};

#define LINES (sizeof(lines) / sizeof(*lines))

static int count_words(char **words)
{
    int count = 0;

    while (words[count]) {
        count++;
    }
    return count;
}

/* Sets the values of a line, words[0] being its name. */
static const char *set_line(apr_pool_t *pool, sf_runner_config *config, char **words,
                            int seen[LINES])
{
    const int values = count_words(words) - 1;
    size_t i;

    for (i = 0; i < LINES; i++) {
        if (strcmp(lines[i].name, words[0]) == 0) {
            if (values != lines[i].values) {
                return apr_psprintf(pool, "%s takes %d value%s, and has %d", words[0],
                                    lines[i].values, lines[i].values == 1 ? "" : "s", values);
            }
            return seen[i]++ && !lines[i].repeatable
                       ? apr_psprintf(pool, "%s is there already", words[0])
                       : lines[i].set(pool, config, words + 1);
        }
    }
    return apr_psprintf(pool, "there is no option %s", words[0]);
}

static const char *read_line(apr_pool_t *pool, sf_runner_config *config, char *text,
                             int seen[LINES])
{
    char **words;

    text += strspn(text, " \t\r\n");
    if (*text == '#' || *text == '\0') {
        return NULL;
    }
    text[strcspn(text, "\r\n")] = '\0';
    if (apr_tokenize_to_argv(text, &words, pool) != APR_SUCCESS || !words[0]) {
        return "the line cannot be read";
    }
    return set_line(pool, config, words, seen);
}

/* Checks what concerns several lines. */
static const char *check_whole(apr_pool_t *pool, const sf_runner_config *config,
                               const int seen[LINES])
{
    size_t i;

    for (i = 0; i < LINES; i++) {
        if (lines[i].required && !seen[i]) {
            return apr_psprintf(pool, "%s: there is no line %s", config->path, lines[i].name);
        }
    }
    return NULL;
}

const char *sf_runner_config_read(apr_pool_t *pool, const char *path, sf_runner_config **config)
{
    int seen[LINES] = { 0 };
    int number = 0;
    char text[LINE_SIZE];
    apr_file_t *file;
    const char *message = NULL;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, 0, pool);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "%s cannot be read: %s", path,
                            apr_strerror(rv, text, sizeof(text)));
    }
    *config = apr_pcalloc(pool, sizeof(**config));
    (*config)->path = path;
    (*config)->clients = apr_array_make(pool, 2, sizeof(uid_t));
    (*config)->runtimes = apr_array_make(pool, 2, sizeof(sf_runtime));
    (*config)->egress_allow = apr_array_make(pool, 4, sizeof(const char *));
    while (!message && apr_file_gets(text, sizeof(text), file) == APR_SUCCESS) {
        number++;
        message = read_line(pool, *config, text, seen);
    }
    apr_file_close(file);
    return message ? apr_psprintf(pool, "%s line %d: %s", path, number, message)
                   : check_whole(pool, *config, seen);
}
