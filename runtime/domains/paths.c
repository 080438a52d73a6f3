#include "runtime/domains/paths.h"

#include "core/db/db.h"
#include "core/guarded_pool.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <string.h>

/* The most bytes of all Builds together that a child keeps: 2,000 Builds of a few paths, or about 50,000 paths. */
#define CACHE_BYTES (16 * 1024 * 1024)

/* The bytes that APR takes for a pool at least. */
#define POOL_BYTES 8192

#define ROOT "/"
#define INDEX "/assets/index.html"

/* The columns of build_files. */
enum {
    FILE_PATH,
    FILE_VERSION,
    FILE_KIND,
    FILE_VISIBILITY,
    FILE_SHA256,
    FILE_SIZE,
    FILE_TYPE,
    FILE_DATE,
    FILE_RUNTIME,
    FILE_ARTIFACT
};

/* A Build in the cache, with a pool of its own. */
typedef struct {
    apr_pool_t *pool;
    char id[SF_UUID_LENGTH + 1];
    apr_hash_t *files; /* sf_build_file by path */
    apr_size_t bytes;
    apr_uint64_t used; /* the number of the last look-up that found it */
} kept_build;

/* The mutex guards all of it, and the allocator of its pools. */
static struct {
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;
    apr_hash_t *builds; /* kept_build by id */
    apr_size_t bytes;
    apr_uint64_t lookups;
} cache;

apr_status_t sf_paths_init(apr_pool_t *pool)
{
    const apr_status_t rv = sf_guarded_pool_make(pool, &cache.mutex, &cache.pool);

    if (rv == APR_SUCCESS) {
        cache.builds = apr_hash_make(cache.pool);
    }
    return rv;
}


/* Files --------------------------------------------------------------------------------------- */

static sf_visibility visibility_of(const char *word)
{
    return strcmp(word, "public") == 0      ? SF_PUBLIC
           : strcmp(word, "protected") == 0 ? SF_PROTECTED
                                            : SF_PRIVATE;
}

/* Reads one row. Its texts are those of the rows. */
static sf_build_file file_of_row(sf_rows *rows, int row)
{
    const sf_build_file file
        = { .path = sf_rows_value(rows, row, FILE_PATH),
            .version = sf_rows_value(rows, row, FILE_VERSION),
            .artifact = sf_rows_value(rows, row, FILE_ARTIFACT),
            .is_function = strcmp(sf_rows_value(rows, row, FILE_KIND), "function") == 0,
            .visibility = visibility_of(sf_rows_value(rows, row, FILE_VISIBILITY)),
            .sha256 = sf_rows_value(rows, row, FILE_SHA256),
            .size = apr_atoi64(sf_rows_value(rows, row, FILE_SIZE)),
            .content_type = sf_rows_value(rows, row, FILE_TYPE),
            .date = apr_atoi64(sf_rows_value(rows, row, FILE_DATE)),
            .runtime = sf_rows_value(rows, row, FILE_RUNTIME) };

    return file;
}

static sf_build_file *copy_file(apr_pool_t *pool, const sf_build_file *file)
{
    sf_build_file *copy = apr_pmemdup(pool, file, sizeof(*file));

    copy->path = apr_pstrdup(pool, file->path);
    copy->version = apr_pstrdup(pool, file->version);
    copy->artifact = apr_pstrdup(pool, file->artifact);
    copy->sha256 = apr_pstrdup(pool, file->sha256);
    copy->content_type = apr_pstrdup(pool, file->content_type);
    copy->runtime = apr_pstrdup(pool, file->runtime);
    return copy;
}

/* The bytes that a file takes in the cache: its struct, its entry in the hash, its texts. */
static apr_size_t size_of(const sf_build_file *file)
{
    return sizeof(*file) + 64 + strlen(file->path) + strlen(file->version) + strlen(file->artifact)
           + strlen(file->sha256) + strlen(file->content_type) + strlen(file->runtime);
}

/* Chooses the file for a path. */
static const sf_build_file *choose(apr_hash_t *files, const char *path)
{
    const sf_build_file *file = apr_hash_get(files, path, APR_HASH_KEY_STRING);

    if (file || strcmp(path, ROOT) != 0) {
        return file;
    }
    file = apr_hash_get(files, INDEX, APR_HASH_KEY_STRING);
    return file && !file->is_function && file->visibility == SF_PUBLIC ? file : NULL;
}


/* The cache. Called with the mutex held -------------------------------------------------------- */

static void drop(kept_build *build)
{
    cache.bytes -= build->bytes;
    apr_hash_set(cache.builds, build->id, APR_HASH_KEY_STRING, NULL);
    apr_pool_destroy(build->pool);
}

static kept_build *least_used(void)
{
    apr_hash_index_t *at;
    kept_build *least = NULL;

    for (at = apr_hash_first(NULL, cache.builds); at; at = apr_hash_next(at)) {
        kept_build *build = apr_hash_this_val(at);

        if (!least || build->used < least->used) {
            least = build;
        }
    }
    return least;
}

static void keep_locked(const char *id, sf_rows *rows)
{
    kept_build *build;
    apr_pool_t *pool;
    int row;

    if (apr_hash_get(cache.builds, id, APR_HASH_KEY_STRING)
        || apr_pool_create(&pool, cache.pool) != APR_SUCCESS) {
        return; /* another thread has kept it meanwhile */
    }
    build = apr_pcalloc(pool, sizeof(*build));
    build->pool = pool;
    build->files = apr_hash_make(pool);
    build->bytes = POOL_BYTES;
    build->used = ++cache.lookups;
    apr_cpystrn(build->id, id, sizeof(build->id));
    for (row = 0; row < sf_rows_count(rows) && sf_rows_value(rows, row, FILE_PATH); row++) {
        const sf_build_file read = file_of_row(rows, row);
        const sf_build_file *file = copy_file(pool, &read);

        build->bytes += size_of(file);
        apr_hash_set(build->files, file->path, APR_HASH_KEY_STRING, file);
    }
    apr_hash_set(cache.builds, build->id, APR_HASH_KEY_STRING, build);
    cache.bytes += build->bytes;
    while (cache.bytes > CACHE_BYTES) {
        drop(least_used());
    }
}

/* Returns whether the Build is kept; the file, NULL where it has none at the path, is a copy. */
static int find_kept(apr_pool_t *pool, const char *id, const char *path, const sf_build_file **file)
{
    kept_build *build;

    apr_thread_mutex_lock(cache.mutex);
    build = apr_hash_get(cache.builds, id, APR_HASH_KEY_STRING);
    if (build) {
        build->used = ++cache.lookups;
        *file = choose(build->files, path);
        *file = *file ? copy_file(pool, *file) : NULL;
    }
    apr_thread_mutex_unlock(cache.mutex);
    return build != NULL;
}


/* Reading ------------------------------------------------------------------------------------- */

/* Whether the rows are all that the Build had when it was made. An empty Build has one row of NULLs, a
 * deleted one none, and a deleted Version has no content. */
static int is_whole(sf_rows *rows)
{
    int row;

    for (row = 0; row < sf_rows_count(rows); row++) {
        if (sf_rows_value(rows, row, FILE_PATH) && !sf_rows_value(rows, row, FILE_SHA256)) {
            return 0;
        }
    }
    return sf_rows_count(rows) > 0;
}

static const sf_build_file *choose_read(apr_pool_t *pool, sf_rows *rows, const char *path)
{
    apr_hash_t *files = apr_hash_make(pool);
    int row;

    for (row = 0; row < sf_rows_count(rows) && sf_rows_value(rows, row, FILE_PATH); row++) {
        const sf_build_file file = file_of_row(rows, row);

        apr_hash_set(files, file.path, APR_HASH_KEY_STRING, copy_file(pool, &file));
    }
    return choose(files, path);
}

int sf_paths_find(const sf_caller *caller, const sf_route *route, const char *path,
                  const sf_build_file **file)
{
    const char *values[] = { route->service, route->build };
    sf_rows *rows;

    if (!find_kept(caller->pool, route->build, path, file)) {
        if (sf_db_run(caller, SF_STATEMENT_BUILD_FILES, values, &rows)) {
            return HTTP_SERVICE_UNAVAILABLE;
        }
        if (!is_whole(rows)) {
            return SF_DOMAIN_GONE;
        }
        apr_thread_mutex_lock(cache.mutex);
        keep_locked(route->build, rows);
        apr_thread_mutex_unlock(cache.mutex);
        *file = choose_read(caller->pool, rows, path);
    }
    return *file ? OK : HTTP_NOT_FOUND;
}
