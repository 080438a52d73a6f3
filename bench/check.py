"""Whether everybody gives the same answers, before anything is measured; and whether the module still
gives the right ones when many ask at once."""

import json
import os
import re

import data
import load
import workload

COMPARED = 100_000  # concurrent answers
CONNECTIONS = 32


class Wrong(Exception):
    """An answer is not what it has to be."""


# Before measuring --------------------------------------------------------------------------------

READS = (f"get_{data.MAIN}", f"list50_{data.MAIN}", "list50_deep", "list1000", "list1000_deep")
WRITES = (f"create_{data.MAIN}", "update")


def lines_of(name):
    return (workload.DIRECTORY / name).read_text().splitlines()


def answer(port, line):
    method, path, *body = line.split(" ", 2)
    return workload.ask(port, method, path, *body)


def without_identity(status, body):
    """What a write answers, apart from the SID and the dates that it makes."""
    return status, re.sub(rb'ZH[0-9a-f]{32}|"[-0-9]{10}T[0-9:]{8}Z"', b"*", body)


def expect_same(line, module, peer):
    """Both are (status, body)."""
    if module == peer:
        return
    at = len(os.path.commonprefix([module[1], peer[1]]))
    raise Wrong(f"a peer answers {line} with {peer[0]} {peer[1][at:at + 100]} from byte {at} on, the "
                f"module with {module[0]} {module[1][at:at + 100]}")


def same_bytes(reference, port):
    """Byte by byte, the peer on `port` against the module."""
    for name in READS:
        for line in lines_of(name)[:20]:
            expect_same(line, answer(reference, line), answer(port, line))
    for name in WRITES:
        line = lines_of(name)[0]
        expect_same(line, *(without_identity(*answer(to, line)) for to in (reference, port)))


# Many at once ------------------------------------------------------------------------------------


def function_body(row):
    """A Function as the API has to show it, made from the table alone."""
    service, key, name, created, updated = row
    url = f"http://{workload.HOST}{workload.function_path(service, key)}"
    return json.dumps({
        "sid": f"ZH{key}", "account_sid": data.credentials()[0], "service_sid": f"ZS{service}",
        "friendly_name": name, "date_created": created, "date_updated": updated, "url": url,
        "links": {"function_versions": url + "/Versions"},
    }, separators=(",", ":"))


def missing_body(path):
    return json.dumps({
        "code": 20404, "message": f"The requested resource {path.removeprefix('/v1')} was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404,
    }, separators=(",", ":"))


def functions():
    return data.psql(data.name_of(data.MAIN), """
        SELECT replace(service_id::text, '-', ''), replace(id::text, '-', ''), friendly_name,
               to_char(date_created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               to_char(date_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
          FROM bench.functions ORDER BY md5(id::text) LIMIT 2000""")


def expectations(port):
    """Request, status and body: Functions that are there, some that are not, and pages, which are
    asked for alone beforehand."""
    for row in functions():
        path = workload.function_path(*row[:2])
        yield path, 200, function_body(row)
    for row in functions()[:200]:
        path = workload.function_path(row[0], row[1][::-1])
        yield path, 404, missing_body(path)
    for row in functions()[:40]:
        path = workload.list_path(row[0]) + "?PageSize=50"
        yield path, *[part if isinstance(part, int) else part.decode()
                      for part in workload.ask(port, "GET", path)]


def right_under_load(port, seconds=4):
    """Compares COMPARED answers of as many connections at once; returns how many there were. Each of
    wrk's threads has one connection, and so knows what it has asked for."""
    path = workload.write("expected", ["\t".join(map(str, one)) for one in expectations(port)])
    compared = 0
    while compared < COMPARED:
        (right, wrong, errors), _ = load.wrk("compare.lua", port, CONNECTIONS, seconds, [path],
                                             threads=CONNECTIONS)
        if int(wrong) or int(errors) or not int(right):
            raise Wrong(f"{wrong} wrong answers and {errors} errors among {right} right answers")
        compared += int(right)
    return compared
