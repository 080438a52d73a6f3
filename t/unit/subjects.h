/* The subjects of the unit tests, for UNIT_SUBJECTS(macro). */
#define UNIT_SUBJECTS(SUBJECT)                                                                     \
    SUBJECT(control)                                                                               \
    SUBJECT(date)                                                                                  \
    SUBJECT(file_cache)                                                                            \
    SUBJECT(form)                                                                                  \
    SUBJECT(frame)                                                                                 \
    SUBJECT(host)                                                                                  \
    SUBJECT(isolate_pool)                                                                          \
    SUBJECT(json_text)                                                                             \
    SUBJECT(json_writer)                                                                           \
    SUBJECT(keyring)                                                                               \
    SUBJECT(lease_rules)                                                                           \
    SUBJECT(log_spool)                                                                             \
    SUBJECT(multipart)                                                                             \
    SUBJECT(origin)                                                                                \
    SUBJECT(page)                                                                                  \
    SUBJECT(params)                                                                                \
    SUBJECT(parse)                                                                                 \
    SUBJECT(row_json)                                                                              \
    SUBJECT(sealed)                                                                                \
    SUBJECT(sid)                                                                                   \
    SUBJECT(signature)                                                                             \
    SUBJECT(signing_key)                                                                           \
    SUBJECT(utf8)
