/* The names of resources. A SID is two capital letters for the kind, then 128 bits as 32 hex
 * digits; the database has the bits alone, as a uuid. A UniqueName is chosen by the client, and
 * can stand in place of the SID. */
#ifndef SF_SID_H
#define SF_SID_H

#define SF_SID_PREFIX 2
#define SF_SID_DIGITS 32
#define SF_SID_LENGTH (SF_SID_PREFIX + SF_SID_DIGITS)
#define SF_UUID_BYTES (SF_SID_DIGITS / 2)

/* A uuid as PostgreSQL prints it: the same digits, with hyphens. */
#define SF_UUID_LENGTH (SF_SID_DIGITS + 4)

/* Reads the SID `text` of the kind `prefix` ("ZH"), with digits in any case. Returns 1 and the
 * digits in lower case, which PostgreSQL reads as a uuid; or 0 where the text is not such a SID. */
int sf_sid_parse(const char *text, const char *prefix, char digits[SF_SID_DIGITS + 1]);

/* Writes the SID of the kind `prefix` for a uuid as PostgreSQL prints it (lower case, with
 * hyphens), or without its hyphens. Writes the prefix alone for any other text. Returns the
 * address of the final NUL. */
char *sf_sid_write(char *to, const char *prefix, const char *uuid);

/* Returns whether the text has the characters of a UniqueName, of any length: letters, digits,
 * '-', '_' and '.', the first one a letter or digit. UniqueNames stand in paths and host names. */
int sf_unique_name_is_valid(const char *text);

#endif
