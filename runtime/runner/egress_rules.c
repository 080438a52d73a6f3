#include "runtime/runner/egress_rules.h"
#include "runtime/runner/host_address.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Ranges without public addresses: private, shared, link-local, for protocols and benchmarks, multicast, reserved. */
static const char refused4[] = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, "
                               "172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, "
                               "224.0.0.0/3";

/* The same of IPv6, with the ranges that have IPv4 addresses in them: a gateway could lead to private ones. */
static const char refused6[] = "::/96, ::ffff:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48, 100::/64, "
                               "2001::/32, 2001:2::/48, 2002::/16, fc00::/7, fe80::/10, fec0::/10, "
                               "ff00::/8";

/* One transaction, which replaces the table. The kernel's own neighbour discovery is permitted: a cage has no right to the raw
 * sockets that could send any. TCP is refused by a reset, since connect() waits a second after another kind of refusal. */
static const char rules_text[]
    = "table inet serverless\n"
      "delete table inet serverless\n"
      "table inet serverless {\n"
      "    set allowed4 { type ipv4_addr; flags interval; auto-merge; %s }\n"
      "    set allowed6 { type ipv6_addr; flags interval; auto-merge; %s }\n"
      "    set refused4 { type ipv4_addr; flags interval; auto-merge; elements = { %s%s } }\n"
      "    set refused6 { type ipv6_addr; flags interval; auto-merge; elements = { %s%s } }\n"
      "    chain refuse {\n"
      "        meta l4proto tcp reject with tcp reset\n"
      "        reject with icmpx type admin-prohibited\n"
      "    }\n"
      "    chain output {\n"
      "        type filter hook output priority 0; policy accept;\n"
      "        oif \"lo\" accept\n"
      "        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
      "        ip daddr " SF_EGRESS_RESOLVER4 " meta l4proto { tcp, udp } th dport 53 accept\n"
      "        ip6 daddr " SF_EGRESS_RESOLVER6 " meta l4proto { tcp, udp } th dport 53 accept\n"
      "        ip daddr @allowed4 accept\n"
      "        ip6 daddr @allowed6 accept\n"
      "        ip daddr @refused4 goto refuse\n"
      "        ip6 daddr @refused6 goto refuse\n"
      "    }\n"
      "}\n";

/* The interface has no link-local address: with one, neighbours of the machine could be reached. */
static const char links_text[] = "link set lo up\n"
                                 "link set dev " SF_EGRESS_INTERFACE " addrgenmode none\n"
                                 "link set " SF_EGRESS_INTERFACE " up\n";
static const char links4_text[]
    = "addr add " SF_EGRESS_ADDRESS4 "/32 dev " SF_EGRESS_INTERFACE "\n"
      "route add default via " SF_EGRESS_GATEWAY4 " dev " SF_EGRESS_INTERFACE " onlink\n";
static const char links6_text[]
    = "addr add " SF_EGRESS_ADDRESS6 "/128 dev " SF_EGRESS_INTERFACE " nodad\n"
      "route add default via " SF_EGRESS_GATEWAY6 " dev " SF_EGRESS_INTERFACE " onlink\n";

static int family_of(const char *range)
{
    return strchr(range, ':') ? AF_INET6 : AF_INET;
}

const char *sf_egress_range_check(apr_pool_t *pool, const char *range)
{
    const char *slash = strchr(range, '/');
    const char *address = slash ? apr_pstrmemdup(pool, range, (apr_size_t)(slash - range)) : range;
    const int family = family_of(range);
    unsigned char bytes[sizeof(struct in6_addr)];
    char *end = "";
    long bits = slash ? strtol(slash + 1, &end, 10) : 0;

    return inet_pton(family, address, bytes) == 1
                   && (!slash || (slash[1] >= '0' && slash[1] <= '9')) && *end == '\0'
                   && bits <= (family == AF_INET ? 32 : 128)
               ? NULL
               : apr_psprintf(pool, "%s is not an address or a range, such as 10.1.2.0/24", range);
}

/* Returns the elements of a set: those ranges that are of the family. */
static const char *set_elements(apr_pool_t *pool, const apr_array_header_t *ranges, int family)
{
    const char *all = NULL;
    int i;

    for (i = 0; i < ranges->nelts; i++) {
        const char *range = APR_ARRAY_IDX(ranges, i, const char *);

        if (family_of(range) == family) {
            all = all ? apr_pstrcat(pool, all, ", ", range, NULL) : range;
        }
    }
    return all ? apr_pstrcat(pool, "elements = { ", all, " }", NULL) : "";
}

/* Returns the rules with the machine's present addresses, or NULL with errno set. */
static const char *present_text(const sf_egress_rules *rules, apr_pool_t *pool)
{
    const char *addresses4 = sf_host_addresses(pool, AF_INET);
    const char *addresses6 = addresses4 ? sf_host_addresses(pool, AF_INET6) : NULL;

    return addresses6 ? apr_psprintf(pool, rules_text, rules->allowed4, rules->allowed6, refused4,
                                     addresses4, refused6, addresses6)
                      : NULL;
}

const char *sf_egress_rules_update(sf_egress_rules *rules)
{
    apr_pool_t *pool;
    const char *text;

    apr_pool_create(&pool, rules->pool);
    text = present_text(rules, pool);
    if (!text || (rules->text && strcmp(text, rules->text) == 0)) {
        apr_pool_destroy(pool); /* `text` is not read any more */
        return text ? NULL : "the addresses of the machine cannot be read";
    }
    if (rules->text_pool) {
        apr_pool_destroy(rules->text_pool);
    }
    rules->text_pool = pool;
    rules->text = text;
    rules->version++;
    return NULL;
}

const char *sf_egress_rules_make(apr_pool_t *pool, const apr_array_header_t *allowed,
                                 sf_egress_rules **rules)
{
    sf_egress_rules *made = apr_pcalloc(pool, sizeof(*made));

    made->pool = pool;
    made->allowed4 = set_elements(pool, allowed, AF_INET);
    made->allowed6 = set_elements(pool, allowed, AF_INET6);
    made->ipv4 = sf_host_has_route(AF_INET);
    made->ipv6 = sf_host_has_route(AF_INET6);
    made->links = apr_pstrcat(pool, links_text, made->ipv4 ? links4_text : "",
                              made->ipv6 ? links6_text : "", NULL);
    *rules = made;
    return made->ipv4 || made->ipv6 ? sf_egress_rules_update(made)
                                    : "the machine has no route to the Internet";
}
