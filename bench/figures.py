"""The figures to reach: what is divided by what, and how far it should get."""

import dataclasses
import statistics

import data
from plan import (BARE, CAGED, DEEP, EVENT, EXPRESS, FILE, LEAST, LIMIT, MODULE, NO_DOMAIN, OPEN, PG, POSTGRES,
                  PROXY, TWILIO_RUN, TWILIO_RUN_LOG, size_label)

RATE = "req/s"
CPU = "CPU"
SERVER = "server us"
TAIL = "p99/p50"


@dataclasses.dataclass(frozen=True)
class Figure:
    title: str
    cell: str
    measure: str
    row: str
    against: str  # "" where the row is enough
    reach: float
    stretch: float
    less_is_better: bool = True
    share: bool = False  # shown as what is above 1
    difference: bool = False  # of the two, not their ratio

    def of(self, measured, other):
        """From one round of the row and of what it is compared with."""
        if self.measure == TAIL:
            return measured["p99"] / measured["p50"]
        if not self.against:
            return measured[self.measure]
        if self.difference:
            return measured[self.measure] - other[self.measure]
        ratio = measured[self.measure] / other[self.measure]
        return 1 - 1 / ratio if self.share else ratio

    @property
    def sign(self):
        return "<=" if self.less_is_better else ">="

    def meets(self, value, limit):
        return value <= limit if self.less_is_better else value >= limit


def at_least(title, cell, row, against, reach, stretch):
    return Figure(title, cell, RATE, row, against, reach, stretch, less_is_better=False)


def at_most(title, cell, row, against, reach, stretch):
    return Figure(title, cell, CPU, row, against, reach, stretch)


LARGE, SMALL = size_label(data.MAIN), size_label(10_000)

FIGURES = (
    at_least("GET by SID, req/s, against httpd alone", "get", MODULE, LIMIT, 0.50, 0.60),
    at_least("the same, both with the event MPM", "get", MODULE + EVENT, LIMIT + EVENT, 0.50, 0.60),
    at_most("GET by SID, CPU, against Fastify + pg", "get", MODULE, PG, 0.40, 0.33),
    at_least("GET by SID, req/s, against Fastify + postgres.js", "get", MODULE, POSTGRES, 1.0, 1.2),
    at_most("GET by SID, CPU, against Fastify + postgres.js", "get", MODULE, POSTGRES, 0.90, 0.75),
    at_most("list of 50, CPU, against Fastify + pg", "list50", MODULE, PG, 0.40, 0.28),
    at_most("list of 1000, CPU, against Fastify + pg", "list1000", MODULE, PG, 0.25, 0.12),
    at_most("list of 50, CPU, against Fastify + postgres.js", "list50", MODULE, POSTGRES, 0.6, 0.4),
    at_most("list of 1000, CPU, against Fastify + postgres.js", "list1000", MODULE, POSTGRES, 0.4,
            0.25),
    at_most("list of 50, page at 75 % against first page, CPU", "list50", MODULE + DEEP, MODULE,
            1.15, 1.05),
    at_most("list of 1000, page at 75 % against first page, CPU", "list1000", MODULE + DEEP, MODULE,
            1.15, 1.05),
    at_most("10^6 against 10^4 Functions: GET, CPU", "growth-get", LARGE, SMALL, 1.15, 1.08),
    at_most("10^6 against 10^4 Functions: list of 50, CPU", "growth-list50", LARGE, SMALL, 1.15,
            1.08),
    at_most("10^6 against 10^4 Functions: create, CPU", "growth-create", LARGE, SMALL, 1.15, 1.08),
    at_least("create, req/s, against Fastify + pg", "create", MODULE, PG, 1.4, 1.8),
    Figure("authentication's share of a GET's CPU", "get", CPU, MODULE, OPEN, 0.10, 0.05,
           share=True),
    Figure("GET by SID, p99 against p50", "get", TAIL, MODULE, "", 4, 3),
    at_least("Asset of 600 B, req/s, against httpd's own file", "asset-600", MODULE, FILE, 0.7, 0.9),
    at_least("the same, both with the event MPM", "asset-600", MODULE + EVENT, FILE + EVENT, 0.7, 0.9),
    at_least("Asset of 1 MB, req/s, against httpd's own file", "asset-1mb", MODULE, FILE, 0.95, 1.0),
    at_least("the same, both with the event MPM", "asset-1mb", MODULE + EVENT, FILE + EVENT, 0.95, 1.0),
    at_most("Asset of 600 B, CPU, against httpd's own file", "asset-600", MODULE, FILE, 1.4, 1.1),
    at_most("Asset of 1 MB, CPU, against httpd's own file", "asset-1mb", MODULE, FILE, 1.05, 1.0),
    Figure("look-up of a request to a domain, us of httpd", "route-404", SERVER, MODULE, NO_DOMAIN, 5, 3,
           difference=True),
    at_least("call, req/s, against Node.js without httpd", "call", MODULE, BARE, 0.55, 0.70),
    at_least("the same with the event MPM", "call", MODULE + EVENT, BARE, 0.40, 0.50),
    at_least("httpd and Node.js, the least, against Node.js", "call", LEAST, BARE, 0.55, 0.70),
    at_least("the same with the event MPM", "call", LEAST + EVENT, BARE, 0.40, 0.50),
    at_least("call, req/s, against httpd and Node.js, the least", "call", MODULE, LEAST, 0.50, 0.75),
    at_least("the same, both with the event MPM", "call", MODULE + EVENT, LEAST + EVENT, 0.50, 0.75),
    at_most("call, CPU of all processes, us", "call", MODULE, "", 190, 150),
    at_most("the same with the event MPM", "call", MODULE + EVENT, "", 240, 200),
    at_least("call, req/s, against mod_proxy", "call", MODULE, PROXY, 0.90, 1.20),
    at_least("the same, both with the event MPM", "call", MODULE + EVENT, PROXY + EVENT, 0.90, 1.20),
    at_least("call, req/s, against Express without httpd", "call", MODULE, EXPRESS, 1.5, 2.5),
    at_least("call, req/s, against twilio-run in its own process", "call", MODULE, TWILIO_RUN, 10, 20),
    at_least("call, req/s, against twilio-run with its log", "call", MODULE, TWILIO_RUN_LOG, 10, 20),
    at_most("call, CPU with bubblewrap against without", "call", CAGED, MODULE, 1.10, 1.02),
)


@dataclasses.dataclass(frozen=True)
class Reached:
    figure: Figure
    value: float
    least: float
    most: float

    @property
    def verdict(self):
        if self.figure.meets(self.value, self.figure.stretch):
            return "reached, with the stretch"
        return "reached" if self.figure.meets(self.value, self.figure.reach) else "MISSED"


def look(results):
    """Each figure that the results have the rows for. results: (cell, label) -> rounds."""
    for figure in FIGURES:
        rounds = results.get((figure.cell, figure.row))
        others = results.get((figure.cell, figure.against or figure.row))
        if rounds and others:
            values = [figure.of(*pair) for pair in zip(rounds, others)]
            yield Reached(figure, statistics.median(values), min(values), max(values))
