#include "runtime/runner/store.h"

#include "core/crypto/sha256.h"
#include "runtime/runner/manifest.h"

#include <apr_file_info.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MODE 0700
#define FILE_MODE 0444
#define CLOSED (-1)

/* A manifest names 2,000 files of paths of up to 255 bytes. */
#define MANIFEST_BYTES_MAX (2LL * 1024 * 1024)

struct sf_store_writer {
    apr_pool_t *pool;
    const char *folder;
    apr_off_t limit;
    apr_off_t size;
    apr_array_header_t *names; /* of const char * */
    apr_hash_t *sums;          /* name: hash */
    const char *message;
    /* the file that is being written */
    const char *name;
    const char *sha256;
    int fd;
    apr_off_t left;
    apr_pool_t *hash_pool;
    sf_sha256 hash;
};


/* The folder ---------------------------------------------------------------------------------- */

static const char *system_message(apr_pool_t *pool, const char *path, int error)
{
    char text[200];

    return apr_psprintf(pool, "%s: %s", path, apr_strerror(error, text, sizeof(text)));
}

static const char *make_folder(apr_pool_t *pool, const char *path)
{
    return mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST ? NULL
                                                            : system_message(pool, path, errno);
}

/* Locks the folder, unless the lock was inherited. */
static const char *lock_folder(apr_pool_t *pool, sf_store *store, int lock)
{
    const char *path = apr_pstrcat(pool, store->folder, "/lock", NULL);

    store->lock = lock;
    if (lock >= 0) {
        return fcntl(lock, F_SETFD, FD_CLOEXEC) == 0 ? NULL : system_message(pool, path, errno);
    }
    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock < 0) {
        return system_message(pool, path, errno);
    }
    if (flock(store->lock, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? apr_psprintf(pool, "%s: another runner uses this folder", store->folder)
                   : system_message(pool, path, errno);
    }
    return NULL;
}

/* Appends the paths of all that is in a folder. */
static void list_folder(apr_pool_t *pool, const char *folder, apr_array_header_t *names)
{
    apr_dir_t *directory;
    apr_finfo_t found;

    if (apr_dir_open(&directory, folder, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&found, APR_FINFO_NAME, directory) == APR_SUCCESS) {
        if (strcmp(found.name, ".") != 0 && strcmp(found.name, "..") != 0) {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(pool, found.name);
        }
    }
    apr_dir_close(directory);
}

const char *sf_store_open(apr_pool_t *pool, const char *folder, int lock, sf_store *store,
                          apr_array_header_t *leftovers)
{
    const char *temporary = apr_pstrcat(pool, folder, "/tmp", NULL);
    const char *message;
    int i;

    store->folder = folder;
    message = make_folder(pool, folder);
    message = message ? message : lock_folder(pool, store, lock);
    message = message ? message : make_folder(pool, apr_pstrcat(pool, folder, "/builds", NULL));
    message = message ? message : make_folder(pool, temporary);
    if (!message && lock < 0) {
        list_folder(pool, temporary, leftovers);
        for (i = 0; i < leftovers->nelts; i++) {
            const char **name = &APR_ARRAY_IDX(leftovers, i, const char *);

            *name = apr_pstrcat(pool, temporary, "/", *name, NULL);
        }
    }
    return message;
}

const char *sf_store_path(const sf_store *store, const char *sid, apr_pool_t *pool)
{
    return apr_pstrcat(pool, store->folder, "/builds/", sid, NULL);
}

const char *sf_store_temporary(sf_store *store, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s/tmp/%d-%u", store->folder, (int)getpid(), ++store->last_name);
}

apr_off_t sf_store_bytes(apr_pool_t *pool, const char *path)
{
    apr_dir_t *directory;
    apr_finfo_t found;
    apr_off_t size = 0;

    if (apr_dir_open(&directory, path, pool) != APR_SUCCESS) {
        return 0;
    }
    while (apr_dir_read(&found, APR_FINFO_NAME | APR_FINFO_TYPE | APR_FINFO_SIZE, directory)
           == APR_SUCCESS) {
        if (found.filetype == APR_REG) {
            size += found.size;
        }
        else if (found.filetype == APR_DIR && strcmp(found.name, ".") != 0
                 && strcmp(found.name, "..") != 0) {
            size += sf_store_bytes(pool, apr_pstrcat(pool, path, "/", found.name, NULL));
        }
    }
    apr_dir_close(directory);
    return size;
}

apr_array_header_t *sf_store_list(const sf_store *store, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 16, sizeof(const char *));
    apr_array_header_t *entries = apr_array_make(pool, 16, sizeof(sf_store_entry));
    char digits[SF_SID_DIGITS + 1];
    int i;

    list_folder(pool, apr_pstrcat(pool, store->folder, "/builds", NULL), names);
    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        const char *path = sf_store_path(store, name, pool);
        struct stat found;

        if (sf_sid_parse(name, "ZB", digits) && stat(path, &found) == 0) {
            sf_store_entry *entry = &APR_ARRAY_PUSH(entries, sf_store_entry);

            memcpy(entry->sid, name, sizeof(entry->sid));
            entry->size = sf_store_bytes(pool, path);
            entry->used = apr_time_from_sec(found.st_mtime);
        }
    }
    return entries;
}


/* Writing ------------------------------------------------------------------------------------- */

static sf_store_status wrong(sf_store_writer *writer, const char *what)
{
    writer->message = what;
    return SF_STORE_WRONG;
}

static sf_store_status disk(sf_store_writer *writer, int error)
{
    writer->message = system_message(writer->pool, writer->name ? writer->name : "a folder", error);
    return SF_STORE_DISK;
}

static apr_status_t close_file(void *data)
{
    sf_store_writer *writer = data;

    if (writer->fd != CLOSED) {
        close(writer->fd);
        writer->fd = CLOSED;
    }
    return APR_SUCCESS;
}

sf_store_status sf_store_begin(sf_store *store, apr_pool_t *pool, apr_off_t limit,
                               sf_store_writer **writer)
{
    sf_store_writer *made = apr_pcalloc(pool, sizeof(*made));

    *writer = made;
    made->pool = pool;
    made->limit = limit;
    made->fd = CLOSED;
    made->folder = sf_store_temporary(store, pool);
    made->names = apr_array_make(pool, 16, sizeof(const char *));
    made->sums = apr_hash_make(pool);
    apr_pool_create(&made->hash_pool, pool);
    apr_pool_cleanup_register(pool, made, close_file, apr_pool_cleanup_null);
    if (mkdir(made->folder, FOLDER_MODE) != 0
        || mkdir(apr_pstrcat(pool, made->folder, "/handlers", NULL), FOLDER_MODE) != 0
        || mkdir(apr_pstrcat(pool, made->folder, "/files", NULL), FOLDER_MODE) != 0) {
        return disk(made, errno);
    }
    return SF_STORE_DONE;
}

/* Whether a text is "ZN" with 32 digits in lower case, and `suffix`. */
static int is_version(const char *text, const char *suffix)
{
    return strncmp(text, "ZN", SF_SID_PREFIX) == 0
           && strspn(text + SF_SID_PREFIX, "0123456789abcdef") == SF_SID_DIGITS
           && strcmp(text + SF_SID_LENGTH, suffix) == 0;
}

/* Whether a file of a Build may have the name. */
static int is_name(const char *name)
{
    return strcmp(name, SF_STORE_MANIFEST) == 0 || strcmp(name, SF_STORE_BUNDLE) == 0
           || (strncmp(name, "handlers/", 9) == 0 && is_version(name + 9, ".js"))
           || (strncmp(name, "files/", 6) == 0 && is_version(name + 6, ""));
}

static int is_hash(const char *sha256)
{
    return strlen(sha256) == SF_SHA256_HEX && strspn(sha256, "0123456789abcdef") == SF_SHA256_HEX;
}

/* Ends the file that is being written. */
static sf_store_status end_file(sf_store_writer *writer)
{
    char hex[SF_SHA256_HEX + 1];

    if (!writer->name) {
        return SF_STORE_DONE;
    }
    close_file(writer);
    if (writer->left > 0) {
        return wrong(writer, apr_pstrcat(writer->pool, writer->name, " is not complete", NULL));
    }
    if (!sf_sha256_end(&writer->hash, hex) || strcmp(hex, writer->sha256) != 0) {
        return wrong(writer, apr_pstrcat(writer->pool, "the SHA-256 of ", writer->name,
                                         " is not the announced one", NULL));
    }
    apr_hash_set(writer->sums, writer->name, APR_HASH_KEY_STRING, writer->sha256);
    APR_ARRAY_PUSH(writer->names, const char *) = writer->name;
    writer->name = NULL;
    return SF_STORE_DONE;
}

static sf_store_status open_file(sf_store_writer *writer, const char *name)
{
    const char *path = apr_pstrcat(writer->pool, writer->folder, "/", name, NULL);

    writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    return writer->fd >= 0 ? SF_STORE_DONE : disk(writer, errno);
}

/* Returns the most bytes of the file of a name. */
static apr_off_t most_bytes(const char *name)
{
    if (strcmp(name, SF_STORE_MANIFEST) == 0) {
        return MANIFEST_BYTES_MAX;
    }
    return strcmp(name, SF_STORE_BUNDLE) == 0 ? SF_STORE_BUNDLE_BYTES_MAX : SF_STORE_FILE_BYTES_MAX;
}

/* Returns why the next file may not be announced, or NULL. */
static const char *check_file(const sf_store_writer *writer, const char *name, const char *sha256,
                              apr_off_t size)
{
    if (!is_name(name)) {
        return "a file has a wrong name";
    }
    if (!is_hash(sha256)) {
        return "a file has a wrong SHA-256";
    }
    if (apr_hash_get(writer->sums, name, APR_HASH_KEY_STRING)) {
        return "a file was sent twice";
    }
    if (writer->names->nelts >= SF_STORE_FILES_MAX) {
        return "the Build has too many files";
    }
    if (size < 0) {
        return "a file has a wrong size";
    }
    return size > most_bytes(name) ? "a file is too large" : NULL;
}

sf_store_status sf_store_file(sf_store_writer *writer, const char *name, const char *sha256,
                              apr_off_t size)
{
    sf_store_status status = end_file(writer);
    const char *message;

    if (status != SF_STORE_DONE) {
        return status;
    }
    message = check_file(writer, name, sha256, size);
    if (message) {
        return wrong(writer, message);
    }
    if (size > writer->limit - writer->size) {
        writer->message = "the Build is larger than the cache";
        return SF_STORE_DISK;
    }
    writer->name = apr_pstrdup(writer->pool, name);
    writer->sha256 = apr_pstrdup(writer->pool, sha256);
    writer->left = size;
    apr_pool_clear(writer->hash_pool);
    sf_sha256_begin(&writer->hash, writer->hash_pool);
    return open_file(writer, writer->name);
}

static sf_store_status write_all(sf_store_writer *writer, int fd, const char *bytes,
                                 apr_size_t length)
{
    while (length > 0) {
        const ssize_t written = write(fd, bytes, length);

        if (written < 0 && errno != EINTR) {
            return disk(writer, errno);
        }
        if (written > 0) {
            bytes += written;
            length -= (apr_size_t)written;
        }
    }
    return SF_STORE_DONE;
}

sf_store_status sf_store_data(sf_store_writer *writer, const char *bytes, apr_size_t length)
{
    if (!writer->name) {
        return wrong(writer, "bytes came before a file");
    }
    if ((apr_off_t)length > writer->left) {
        return wrong(writer,
                     apr_pstrcat(writer->pool, writer->name, " is larger than announced", NULL));
    }
    writer->left -= (apr_off_t)length;
    writer->size += (apr_off_t)length;
    sf_sha256_add(&writer->hash, bytes, length);
    return write_all(writer, writer->fd, bytes, length);
}

/* Writes the hashes of all files, as sha256sum(1) checks them. */
static sf_store_status write_sums(sf_store_writer *writer)
{
    sf_store_status status;
    int i;

    writer->name = SF_STORE_SUMS;
    status = open_file(writer, SF_STORE_SUMS);
    for (i = 0; status == SF_STORE_DONE && i < writer->names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(writer->names, i, const char *);
        const char *line
            = apr_pstrcat(writer->pool, apr_hash_get(writer->sums, name, APR_HASH_KEY_STRING), "  ",
                          name, "\n", NULL);

        status = write_all(writer, writer->fd, line, strlen(line));
    }
    close_file(writer);
    return status;
}

sf_store_status sf_store_finish(sf_store_writer *writer)
{
    const char *path = apr_pstrcat(writer->pool, writer->folder, "/" SF_STORE_MANIFEST, NULL);
    sf_store_status status = end_file(writer);
    const char *message;

    if (status != SF_STORE_DONE) {
        return status;
    }
    message = apr_hash_get(writer->sums, SF_STORE_MANIFEST, APR_HASH_KEY_STRING)
                  ? sf_manifest_check(path, writer->sums, writer->pool)
                  : "the Build has no manifest.json";
    return message ? wrong(writer, message) : write_sums(writer);
}

const char *sf_store_message(const sf_store_writer *writer)
{
    return writer->message;
}

const char *sf_store_folder(const sf_store_writer *writer)
{
    return writer->folder;
}

const apr_array_header_t *sf_store_names(const sf_store_writer *writer)
{
    return writer->names;
}
