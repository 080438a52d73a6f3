/* The rules of networks at the level of egress `filtered`: the texts that nft and ip read in each network. */
#ifndef SF_EGRESS_RULES_H
#define SF_EGRESS_RULES_H

#include <apr_pools.h>
#include <apr_tables.h>

/* The interface in a network, and its addresses. These are of ranges for benchmarks, which are not routed. pasta passes
 * queries to the resolvers on to the resolver of the machine. */
#define SF_EGRESS_INTERFACE "net0"
#define SF_EGRESS_ADDRESS4 "198.18.0.2"
#define SF_EGRESS_GATEWAY4 "198.18.0.1"
#define SF_EGRESS_RESOLVER4 "198.18.0.3"
#define SF_EGRESS_ADDRESS6 "2001:2::2"
#define SF_EGRESS_GATEWAY6 "2001:2::1"
#define SF_EGRESS_RESOLVER6 "2001:2::3"

typedef struct {
    apr_pool_t *pool;
    const char *allowed4; /* ranges that are permitted in spite of the rules */
    const char *allowed6;
    int ipv4; /* whether the machine reaches the Internet by IPv4 */
    int ipv6;
    const char *links; /* for ip */
    const char *text;  /* for nft, with the addresses that the machine has had last */
    apr_pool_t *text_pool;
    unsigned int version; /* counts how often the text has changed */
} sf_egress_rules;

/* Checks an address or a range: "10.1.2.3", "10.1.0.0/16", "fd00::1". Returns NULL or a message. */
const char *sf_egress_range_check(apr_pool_t *pool, const char *range);

/* Makes the texts. `allowed` has ranges (const char *). Returns NULL with `rules`, or a message. */
const char *sf_egress_rules_make(apr_pool_t *pool, const apr_array_header_t *allowed,
                                 sf_egress_rules **rules);

/* Makes the text for nft anew if the machine's addresses have changed. Returns NULL or a message. */
const char *sf_egress_rules_update(sf_egress_rules *rules);

#endif
