#include "runtime/runner/host_address.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_PORT 53

static const void *address_of(const struct sockaddr *address, int family)
{
    if (!address || address->sa_family != family) {
        return NULL;
    }
    return family == AF_INET ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                             : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
}

const char *sf_host_addresses(apr_pool_t *pool, int family)
{
    const char *all = "";
    struct ifaddrs *list;
    const struct ifaddrs *entry;

    if (getifaddrs(&list) != 0) {
        return NULL;
    }
    for (entry = list; entry; entry = entry->ifa_next) {
        const void *address = address_of(entry->ifa_addr, family);
        char text[INET6_ADDRSTRLEN];

        if (address && inet_ntop(family, address, text, sizeof(text))) {
            all = apr_pstrcat(pool, all, ", ", text, NULL);
        }
    }
    freeifaddrs(list);
    return all;
}

/* To connect a socket for datagrams looks up the route. */
int sf_host_has_route(int family)
{
    struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT) };
    const int s = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rv;

    if (s < 0) {
        return 0;
    }
    inet_pton(AF_INET, "1.1.1.1", &to4.sin_addr);
    inet_pton(AF_INET6, "2606:4700:4700::1111", &to6.sin6_addr);
    rv = family == AF_INET ? connect(s, (struct sockaddr *)&to4, sizeof(to4))
                           : connect(s, (struct sockaddr *)&to6, sizeof(to6));
    close(s);
    return rv == 0;
}

static apr_status_t close_watch(void *data)
{
    const int *watch = data;

    close(*watch);
    return APR_SUCCESS;
}

int sf_host_watch(apr_pool_t *pool)
{
    const struct sockaddr_nl changes
        = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
    const int watch = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (watch >= 0 && bind(watch, (const struct sockaddr *)&changes, sizeof(changes)) != 0) {
        close(watch);
        return -1;
    }
    if (watch >= 0) {
        apr_pool_cleanup_register(pool, apr_pmemdup(pool, &watch, sizeof(watch)), close_watch,
                                  apr_pool_cleanup_null);
    }
    return watch;
}

void sf_host_watch_read(int watch)
{
    char messages[8192];

    /* an error (too many messages for the buffer) means a change, too */
    while (recv(watch, messages, sizeof(messages), 0) > 0) {
    }
}
