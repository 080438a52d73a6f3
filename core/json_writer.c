#include "core/json_writer.h"

#include "core/utf8.h"

#include <string.h>

#define FIRST_ROOM 4096

/* The most bytes that one byte of a string becomes: "\u001f". */
#define ESCAPED_MAX 6

/* U+FFFD */
static const char replacement[] = { '\xEF', '\xBF', '\xBD' };

void sf_json_writer_begin(sf_json_writer *writer, apr_pool_t *pool)
{
    writer->pool = pool;
    writer->text = apr_palloc(pool, FIRST_ROOM);
    writer->length = 0;
    writer->room = FIRST_ROOM;
}

/* Makes room for further bytes. The text may be a secret: its old memory is overwritten. */
static void reserve(sf_json_writer *writer, apr_size_t size)
{
    if (size > writer->room - writer->length) {
        const apr_size_t room = 2 * (writer->length + size);
        char *text = apr_palloc(writer->pool, room);

        memcpy(text, writer->text, writer->length);
        explicit_bzero(writer->text, writer->length);
        writer->text = text;
        writer->room = room;
    }
}

void sf_json_write(sf_json_writer *writer, const char *bytes, apr_size_t length)
{
    reserve(writer, length);
    memcpy(writer->text + writer->length, bytes, length);
    writer->length += length;
}

void sf_json_write_text(sf_json_writer *writer, const char *text)
{
    sf_json_write(writer, text, strlen(text));
}

/* Returns the number of bytes of the character at the beginning of a text, or 0 where it is no UTF-8. */
static apr_size_t character_length(const char *text)
{
    sf_utf8 check = { 0 };
    apr_size_t length = 0;

    do {
        if (!text[length] || !sf_utf8_feed(&check, text + length, 1)) {
            return 0;
        }
        length++;
    } while (!sf_utf8_is_whole(&check));
    return length;
}

/* Escapes a byte that stands for itself in UTF-8, but not in JSON. Returns the number of bytes written. */
static apr_size_t escape(char *to, char byte)
{
    static const char hex[] = "0123456789abcdef";

    if (byte == '"' || byte == '\\') {
        to[0] = '\\';
        to[1] = byte;
        return 2;
    }
    to[0] = '\\';
    to[1] = 'u';
    to[2] = to[3] = '0';
    to[4] = hex[(unsigned char)byte >> 4];
    to[5] = hex[byte & 15];
    return ESCAPED_MAX;
}

static int is_plain(char byte)
{
    return (unsigned char)byte >= ' ' && (unsigned char)byte < 0x80 && byte != '"' && byte != '\\';
}

/* Appends the character at the beginning of a text. Returns the number of its bytes. */
static apr_size_t write_character(sf_json_writer *writer, const char *text)
{
    char *to = writer->text + writer->length;
    apr_size_t length;

    if ((unsigned char)*text < 0x80) {
        writer->length += escape(to, *text);
        return 1;
    }
    length = character_length(text);
    if (length == 0) {
        memcpy(to, replacement, sizeof(replacement));
        writer->length += sizeof(replacement);
        return 1;
    }
    memcpy(to, text, length);
    writer->length += length;
    return length;
}

void sf_json_write_string(sf_json_writer *writer, const char *string)
{
    if (!string) {
        sf_json_write_text(writer, "null");
        return;
    }
    reserve(writer, strlen(string) * ESCAPED_MAX + 2);
    writer->text[writer->length++] = '"';
    while (*string) {
        if (is_plain(*string)) {
            writer->text[writer->length++] = *string++;
        }
        else {
            string += write_character(writer, string);
        }
    }
    writer->text[writer->length++] = '"';
}
