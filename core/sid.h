/* What names a resource. SIDs: two capital letters for the kind, then 128 bits as 32 hex digits; the
 * database keeps the bits alone, as a uuid. UniqueNames: chosen by the client, good wherever the SID
 * is. */
#ifndef SF_SID_H
#define SF_SID_H

#define SF_SID_PREFIX 2
#define SF_SID_DIGITS 32
#define SF_SID_LENGTH (SF_SID_PREFIX + SF_SID_DIGITS)
#define SF_UUID_BYTES (SF_SID_DIGITS / 2)

/* A uuid as PostgreSQL prints it: the same digits, with hyphens. */
#define SF_UUID_LENGTH (SF_SID_DIGITS + 4)

/* Reads the SID `text` of the kind `prefix` ("ZH"). Returns 1 and its digits in lower case, which
 * PostgreSQL takes for a uuid, or 0 where it is not one; upper-case digits are accepted. */
int sf_sid_parse(const char *text, const char *prefix, char digits[SF_SID_DIGITS + 1]);

/* Writes the SID of kind `prefix` for a uuid as PostgreSQL prints it (lower case, with hyphens) or
 * without its hyphens; of anything else, the prefix alone. Returns where the terminating NUL stands. */
char *sf_sid_write(char *to, const char *prefix, const char *uuid);

/* Whether `text` may be a UniqueName, length aside: letters, digits, '-', '_' and '.', a letter or
 * digit first, as it stands in paths and host names. */
int sf_unique_name_is_valid(const char *text);

#endif
