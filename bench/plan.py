"""What is measured, row by row."""

import dataclasses

import data

MODULE = "module"
UNPIPELINED = "module, pipelining off"
LIMIT = "httpd alone"
EVENT = ", event MPM"
PG = "Fastify + pg"
POSTGRES = "Fastify + postgres.js"
OPEN = "module, nobody authenticated"
DEEP = ", page at 75 %"
FILE = "httpd's own file"
NGINX = "nginx, the same file"
NO_DOMAIN = "a host that cannot be a domain"
UNLEASED = "module, a read for each request"
CAGED = "module, isolated by bubblewrap"
BARE = "Node.js, no httpd"
EXPRESS = "Express, no httpd"
PROXY = "mod_proxy to the same function"
TWILIO_RUN = "twilio-run, in its own process"
TWILIO_RUN_LOG = "twilio-run, the same with its log"
LEAST = "httpd and Node.js, the least"
LOGGED = "module, two entries in the log"


@dataclasses.dataclass(frozen=True)
class Target:
    """One row of a cell: a server and what it is asked for."""

    label: str
    host: str  # which of the servers, by its name in bench/run
    requests: str  # the file


@dataclasses.dataclass(frozen=True)
class Cell:
    """Rows that are measured in turn, A B C A B C. The first is what the others are compared with."""

    name: str
    title: str
    connections: int
    targets: tuple
    order: str = "random"
    writes: bool = False  # what was written has to be undone after each round
    deletes: bool = False  # Functions have to be there first
    refused: bool = False  # all answers are errors


def everybody(requests, writing=False):
    """The module and its peers, asked the same. Each peer has the pool that suits it best."""
    suffix = "_writing" if writing else ""
    return (Target(MODULE, "module", requests), Target(PG, "pg" + suffix, requests),
            Target(POSTGRES, "postgres" + suffix, requests))


MAIN_GET = f"get_{data.MAIN}"
MAIN_LIST = f"list50_{data.MAIN}"
MAIN_CREATE = f"create_{data.MAIN}"


def lists(first, deep):
    return (Target(MODULE, "module", first), Target(PG, "pg", first),
            Target(POSTGRES, "postgres", first), Target(MODULE + DEEP, "module", deep),
            Target(PG + DEEP, "pg", deep), Target(POSTGRES + DEEP, "postgres", deep))


def size_label(functions):
    return f"{functions:,} Functions".replace(",", " ")


def growth(name, title, connections, requests, writes=False):
    """The same at each size, the largest first."""
    targets = tuple(Target(size_label(functions), data.name_of(functions),
                           f"{requests}_{functions}")
                    for functions in sorted(data.SIZES, reverse=True))
    return Cell(name, title, connections, targets, writes=writes)


API_CELLS = (
    Cell("get", "GET by SID, 32 connections", 32,
         (*everybody(MAIN_GET), Target(LIMIT, "limit", "limit_get"),
          Target(UNPIPELINED, "unpipelined", MAIN_GET), Target(OPEN, "open", MAIN_GET),
          Target(MODULE + EVENT, "event", MAIN_GET),
          Target(LIMIT + EVENT, "event_limit", "limit_get"))),
    Cell("get-1", "GET by SID, 1 connection", 1,
         (*everybody(MAIN_GET), Target(LIMIT, "limit", "limit_get"))),
    Cell("list50", "list of 50, 8 connections", 8,
         (*lists(MAIN_LIST, "list50_deep"), Target(LIMIT, "limit", "limit_list50"))),
    Cell("list1000", "list of 1000, 8 connections", 8,
         (*lists("list1000", "list1000_deep"), Target(LIMIT, "limit", "limit_list1000"))),
    Cell("create", "create, 32 connections", 32, everybody(MAIN_CREATE, True), writes=True),
    Cell("update", "update, 32 connections", 32, everybody("update", True), writes=True),
    Cell("delete", "delete, 32 connections", 32, everybody("delete", True), order="once",
         writes=True, deletes=True),
    Cell("mixed-32", "80 % GET, 15 % list of 50, 5 % create; 32 connections", 32,
         everybody("mixed"), writes=True),
    Cell("mixed-64", "80 % GET, 15 % list of 50, 5 % create; 64 connections", 64,
         everybody("mixed"), writes=True),
    growth("growth-get", "GET by SID as the table grows, 32 connections", 32, "get"),
    growth("growth-list50", "list of 50 as the table grows, 8 connections", 8, "list50"),
    growth("growth-create", "create as the table grows, 32 connections", 32, "create", writes=True),
)


def assets(requests):
    """The Asset of a domain, and the same bytes as a file of httpd and of nginx."""
    return (Target(MODULE, "domain", requests), Target(FILE, "files", requests), Target(NGINX, "nginx", requests),
            Target(MODULE + EVENT, "domain_event", requests), Target(FILE + EVENT, "files_event", requests))


# An unknown path is 404, and so is a host that cannot be a domain, with the same text. What is between them is
# the look-up: the route's, the path's in the Build, the request's counting.
DOMAIN_CELLS = (
    Cell("asset-600", "Asset of 600 B, 32 connections", 32, assets("asset_600")),
    Cell("asset-1mb", "Asset of 1 MB, 8 connections", 8, assets("asset_1mb")),
    Cell("route-404", "unknown path of a domain (404), 32 connections", 32,
         (Target(MODULE, "domain", "unknown_path"), Target(NO_DOMAIN, "no_domain", "unknown_path"),
          Target(UNLEASED, "unleased", "unknown_path")), refused=True),
)

# The isolation level "none" where a row names no other one.
CALL_CELLS = (
    Cell("call", "call of a Function, hello world, 16 connections", 16,
         (Target(MODULE, "call", "hello"), Target(CAGED, "caged", "hello"), Target(BARE, "bare", "hello"),
          Target(EXPRESS, "express", "hello"), Target(PROXY, "proxy", "hello"),
          Target(TWILIO_RUN, "twilio_run", "hello"), Target(TWILIO_RUN_LOG, "twilio_run_log", "hello"),
          Target(LEAST, "least", "hello"), Target(LEAST + EVENT, "least_event", "hello"),
          Target(MODULE + EVENT, "call_event", "hello"),
          Target(CAGED + EVENT, "caged_event", "hello"), Target(PROXY + EVENT, "proxy_event", "hello"),
          Target(LIMIT, "call_alone", "alone"), Target(LIMIT + EVENT, "call_event_alone", "alone"))),
    Cell("call-1", "call of a Function, hello world, 1 connection", 1,
         (Target(MODULE, "call", "hello"), Target(CAGED, "caged", "hello"), Target(BARE, "bare", "hello"),
          Target(PROXY, "proxy", "hello"), Target(LIMIT, "call_alone", "alone"))),
    Cell("call-log", "call of a Function that prints, 16 connections", 16,
         (Target(MODULE, "call", "hello"), Target(LOGGED, "call", "logs"))),
)

CELLS = API_CELLS + DOMAIN_CELLS + CALL_CELLS
