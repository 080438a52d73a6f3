"""What is asked for: files of requests, one a line, as bench/wrk/load.lua reads them."""

import base64
import http.client
import json
import random

import data

HOST = "bench.example.com"  # the URLs in answers begin with it, whichever server made them
DRAWN = 20_000  # different Functions that are asked for
FORM = "application/x-www-form-urlencoded"
DIRECTORY = data.HOME / "requests"


def headers():
    sid, token = data.credentials()
    basic = base64.b64encode(f"{sid}:{token}".encode()).decode()
    return {"Host": HOST, "Authorization": f"Basic {basic}"}


def write(name, lines):
    DIRECTORY.mkdir(exist_ok=True)
    path = DIRECTORY / name
    path.write_text("\n".join(lines) + "\n")
    return path


def ask(port, method, path, form=None):
    """One answer's status and body, asked for alone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    fields = headers()
    if form:
        fields["Content-Type"] = FORM
    connection.request(method, path, body=form, headers=fields)
    answer = connection.getresponse()
    return answer.status, answer.read()


# Paths -------------------------------------------------------------------------------------------


def function_path(service, function):
    return f"/v1/Services/ZS{service}/Functions/ZH{function}"


def list_path(service):
    return f"/v1/Services/ZS{service}/Functions"


def draw(functions):
    """Service and key of the Functions that are asked for: the same ones in every run."""
    return data.psql(data.name_of(functions), f"""
        SELECT replace(service_id::text, '-', ''), replace(id::text, '-', '')
          FROM bench.functions ORDER BY md5(id::text) LIMIT {DRAWN}""")


def services(functions):
    """Their keys, the large one first."""
    return [row[0] for row in data.psql(data.name_of(functions),
            "SELECT replace(id::text, '-', '') FROM bench.services ORDER BY number")]


def walk(port, service, share):
    """Follows next_page_url, 1,000 at a time, to that share of the large Service; returns the paths of
    all pages it saw."""
    pages = [list_path(service) + "?PageSize=1000"]
    (count,), = data.psql(data.name_of(data.MAIN), f"""
        SELECT count(*) FROM bench.functions WHERE service_id = '{service}'""")
    while (len(pages) - 1) * 1000 < int(count) * share:
        status, body = ask(port, "GET", pages[-1])
        assert status == 200, f"{pages[-1]}: {status} {body}"
        url = json.loads(body)["meta"]["next_page_url"]
        pages.append(url[url.index("/v1/"):])
    return pages


# Files -------------------------------------------------------------------------------------------


def gets(functions):
    return ["GET " + function_path(*row) for row in draw(functions)]


def creates(functions):
    return [f"POST {list_path(service)} FriendlyName=Created%20by%20the%20benchmark"
            for service in services(functions)]


def updates(functions):
    return [f"POST {function_path(*row)} FriendlyName=Updated%20by%20the%20benchmark"
            for row in draw(functions)]


def mixed(functions):
    """80 % GET, 15 % list of 50, 5 % create."""
    chance = random.Random(1)
    own = services(functions)
    reads = gets(functions)

    def one():
        dice = chance.random()
        if dice < 0.80:
            return chance.choice(reads)
        if dice < 0.95:
            return "GET " + list_path(chance.choice(own)) + "?PageSize=50"
        return chance.choice(creates_of_main)

    creates_of_main = creates(functions)
    return [one() for _ in range(DRAWN)]


def write_all(port):
    """All files but those that a single measurement needs; the lists' pages come from the module."""
    for functions in data.SIZES:
        large = services(functions)[0]
        write(f"get_{functions}", gets(functions))
        write(f"create_{functions}", creates(functions))
        write(f"list50_{functions}", ["GET " + list_path(large) + "?PageSize=50"])
    pages = walk(port, services(data.MAIN)[0], 0.75)
    write("list1000", ["GET " + pages[0]])
    write("list1000_deep", ["GET " + pages[-1]])
    write("list50_deep", ["GET " + pages[-1].replace("PageSize=1000", "PageSize=50")])
    write("pages", ["GET " + page for page in pages])
    write("update", updates(data.MAIN))
    write("mixed", mixed(data.MAIN))


def write_deletes(database, count):
    """Functions made to be deleted, each once."""
    rows = data.add_functions(database, count)
    write("delete", ["DELETE " + function_path(*row) for row in rows])
