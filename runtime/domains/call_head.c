#include "runtime/domains/call_head.h"

#include "core/config.h"
#include "core/request_id.h"
#include "runtime/domains/answer.h"
#include "runtime/domains/request_parts.h"
#include "runtime/domains/variables.h"

#include <apr_strings.h>
#include <string.h>

/* Headers that are not for Functions; with '*', all that begin like this. */
static const char *const hidden[] = { "Connection",
                                      "Expect",
                                      "Host",
                                      "I-T-*",
                                      "I-Twilio-*",
                                      "OT-*",
                                      "Proxy-Authenticate",
                                      "Proxy-Authorization",
                                      "Proxy-Connection",
                                      "Referer",
                                      "Trailer",
                                      "Transfer-Encoding",
                                      "Upgrade",
                                      "Via",
                                      "X-Accel-*",
                                      "X-Amz*",
                                      "X-Forwarded-*",
                                      "X-Real-IP" };

int sf_call_head_shows(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(hidden) / sizeof(*hidden); i++) {
        const apr_size_t length = strcspn(hidden[i], "*");

        if (ap_cstr_casecmpn(name, hidden[i], length) == 0
            && (hidden[i][length] || !name[length])) {
            return 0;
        }
    }
    return 1;
}

int sf_call_head_is_too_large(const request_rec *r)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *header = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        bytes += strlen(header->key) + strlen(header->val);
    }
    return all->nelts > SF_HEADERS_MAX || bytes > SF_HEADERS_BYTES_MAX;
}

/* Writes a member behind another one. */
static void write_member(sf_json_writer *writer, const char *name, const char *value)
{
    sf_json_write_text(writer, ",\"");
    sf_json_write_text(writer, name);
    sf_json_write_text(writer, "\":");
    sf_json_write_string(writer, value);
}

static void write_sid(sf_json_writer *writer, const char *name, const char *prefix,
                      const char *uuid)
{
    char sid[SF_SID_LENGTH + 1];

    sf_sid_write(sid, prefix, uuid);
    write_member(writer, name, sid);
}

static void write_headers(sf_json_writer *writer, const request_rec *r)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);
    const char *separator = "";
    int i;

    sf_json_write_text(writer, ",\"headers\":[");
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *header = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (sf_call_head_shows(header->key)) {
            sf_json_write_text(writer, separator);
            sf_json_write_text(writer, "[");
            sf_json_write_string(writer, header->key);
            sf_json_write_text(writer, ",");
            sf_json_write_string(writer, header->val);
            sf_json_write_text(writer, "]");
            separator = ",";
        }
    }
    sf_json_write_text(writer, "]");
}

/* Writes the parts of the request. */
static void write_request(sf_json_writer *writer, const sf_domain_request *request)
{
    request_rec *r = request->r;

    write_member(writer, "request", sf_request_id(r));
    write_member(writer, "method", r->method);
    write_member(writer, "url",
                 apr_pstrcat(r->pool, sf_config_signature_scheme(r), "://",
                             sf_request_host(request), sf_request_target(r), NULL));
    write_member(writer, "query", r->args ? r->args : "");
    write_member(writer, "type", apr_table_get(r->headers_in, "Content-Type"));
    write_headers(writer, r);
    write_member(writer, "user", r->user);
}

int sf_call_head_write(const sf_domain_request *request, sf_json_writer *writer)
{
    request_rec *r = request->r;
    int status;

    sf_json_write_text(writer, "{\"deadline\":");
    sf_json_write_text(writer,
                       apr_ltoa(r->pool, (long)apr_time_as_msec(sf_config_execution_timeout(r))));
    sf_json_write_text(writer, sf_config_error_stack(r) ? ",\"stack\":true" : ",\"stack\":false");
    write_sid(writer, "function", "ZN", request->file->version);
    write_member(writer, "path", request->file->path);
    write_request(writer, request);
    write_member(writer, "domain", request->host);
    write_sid(writer, "service", "ZS", request->route.service);
    write_sid(writer, "environment", "ZE", request->route.environment);
    sf_json_write_text(writer, ",");
    status = sf_variables_write(request, writer);
    sf_json_write_text(writer, "}");
    return status;
}
