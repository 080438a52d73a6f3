"""The attacks of bench/attack, and the clients that make them."""

import base64
import contextlib
import dataclasses
import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import time
import typing

from attacked import HOME

ASSET_BYTES = 20 * 1024 * 1024
UPLOAD_RATE = 3000  # bytes a second
FUNCTIONS = 1000
RANGES = 200
BUILDS = 50
VERSIONS = 1000  # of each Build

# Builds with Versions that are those of no Function: a completed Build may outlive them. A path has 255 bytes.
FILL_BUILDS = """
WITH fresh AS MATERIALIZED (
         SELECT s.id AS service, serverless.new_identity() AS made
           FROM serverless.services AS s, generate_series(1, {builds})
          WHERE serverless.sid('ZS', s.id) = '{service}' OFFSET 0),
     contained AS (
         INSERT INTO serverless.build_versions
         SELECT service, (made).id, gen_random_uuid(), 'function', gen_random_uuid(),
                rpad('/' || n, 255, 'x'), 'protected', (made).made
           FROM fresh, generate_series(1, {versions}) AS n
         RETURNING 1)
INSERT INTO serverless.builds (service_id, id, status, runtime, dependencies, date_created, date_updated)
SELECT service, (made).id, 'completed', 'node22', '[]', (made).made, (made).made
  FROM fresh, (SELECT count(*) FROM contained) AS written
"""
LOCK = """
BEGIN; SELECT FROM serverless.services WHERE serverless.sid('ZS', id) = '{service}' FOR UPDATE;
SELECT pg_sleep({seconds}); ROLLBACK
"""


# Clients -----------------------------------------------------------------------------------------


class Client:
    """Requests of one account, each on a connection of its own. `give_up`: the seconds that it waits for an answer."""

    def __init__(self, port, account, give_up):
        self.port = port
        self.give_up = give_up
        token = base64.b64encode(f"{account['ACCOUNT_SID']}:{account['AUTH_TOKEN']}".encode()).decode()
        self.headers = f"Host: 127.0.0.1\r\nAuthorization: Basic {token}\r\n"
        self.tls = ssl.create_default_context(cafile=HOME / "server.pem")
        self.tls.check_hostname = False

    def send(self, method, path, headers="", body=b"", receive_buffer=0):
        plain = socket.socket()
        plain.settimeout(self.give_up)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            plain.connect(("127.0.0.1", self.port))
            connection = self.tls.wrap_socket(plain)
        except OSError:
            plain.close()
            raise
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{self.headers}{headers}\r\n".encode() + body)
        return connection

    def request(self, method, path, headers="", body=b""):
        """Returns the status and the body; 0 for an answer that is cut off."""
        with self.send(method, path, headers + "Connection: close\r\n", body) as connection:
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head, re.I)
        is_whole = not length or len(content) == int(length[1])
        return status_of(answer) if is_whole else 0, content

    def post(self, path, form):
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        return self.request("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n"
                            f"Content-Length: {len(body)}\r\n", body)

    def create(self, path, form):
        status, answer = self.post(path, form)
        if status != 201:
            raise SystemExit(f"POST {path}: {status} {answer[:500]}")
        return json.loads(answer)


def status_of(answer):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


# What the attacks need ----------------------------------------------------------------------------

MULTIPART = "Content-Type: multipart/form-data; boundary=b\r\n"
TAIL = b"\r\n--b--\r\n"
unique = itertools.count(time.time_ns() % 1_000_000_000_000)


def parts(size):
    """The body of an upload around `size` bytes of content."""
    head = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part
                    for part in ((b"Path", b"/a"), (b"Visibility", b"public")))
    head += b'--b\r\nContent-Disposition: form-data; name="Content"; filename="a"\r\n\r\n'
    return head, TAIL, f"{MULTIPART}Content-Length: {len(head) + size + len(TAIL)}\r\n"


def new_service(client):
    return client.create("/v1/Services", {"UniqueName": f"attack-{next(unique)}", "FriendlyName": "attack"})["sid"]


@dataclasses.dataclass
class Target:
    """The Service that is attacked, and the paths of its parts."""
    service: str
    path: str
    content: str
    versions: str


def prepare(client, cluster, version):
    """Makes an Asset of 20 MB, 1,000 Functions, and 50 Builds of 1,000 Versions."""
    service = new_service(client)
    path = f"/v1/Services/{service}"
    asset = client.create(f"{path}/Assets", {"FriendlyName": "large"})["sid"]
    versions = f"{path}/Assets/{asset}/Versions"
    head, tail, headers = parts(ASSET_BYTES)
    status, answer = client.request("POST", versions, headers, head + os.urandom(ASSET_BYTES) + tail)
    if status != 201:
        raise SystemExit(f"upload: {status} {answer[:500]}")
    for i in range(FUNCTIONS):
        client.create(f"{path}/Functions", {"FriendlyName": f"function {i}"})
    cluster.psql(version, FILL_BUILDS.format(service=service, builds=BUILDS, versions=VERSIONS))
    return Target(service, path, f"{versions}/{json.loads(answer)['sid']}/Content", versions)


# Attacks, each by one client until a time: it returns the status of an answer -----------------------


def read_nothing(client, target, until):
    with client.send("GET", target.content, receive_buffer=4096) as connection:
        connection.settimeout(max(0.01, until - time.monotonic()))
        status = status_of(connection.recv(64, 0))  # the head's first bytes are all that is read
        if status == 200:
            time.sleep(max(0, until - time.monotonic()))
        return status


def upload_slowly(client, target, until):
    head, _, headers = parts(ASSET_BYTES)
    with client.send("POST", target.versions, headers, head) as connection:
        connection.settimeout(1)
        while time.monotonic() < until:
            connection.sendall(b"x" * UPLOAD_RATE)
            try:
                return status_of(connection.recv(64)) or 503  # a connection that was closed
            except TimeoutError:
                pass
        return 200


def list_functions(client, target, until):
    del until
    return client.request("GET", f"{target.path}/Functions?PageSize={FUNCTIONS}")[0]


def list_builds(client, target, until):
    del until
    return client.request("GET", f"{target.path}/Builds?PageSize={BUILDS}")[0]


def ask_for_ranges(client, target, until):
    del until
    step = ASSET_BYTES // RANGES
    ranges = ",".join(f"{n * step}-{n * step}" for n in range(RANGES))
    return client.request("GET", target.content, f"Range: bytes={ranges}\r\n")[0]


def write_to_locked(client, target, until):
    del until
    return client.post(f"{target.path}/Functions", {"FriendlyName": "f"})[0]


# What is done besides, from the beginning of an attack to its end -----------------------------------


@contextlib.contextmanager
def lock_service(cluster, version, target, seconds):
    with subprocess.Popen(cluster.psql_command(version, LOCK.format(service=target.service, seconds=seconds)),
                          stdout=subprocess.DEVNULL) as holder:
        yield
        holder.wait(30)


@contextlib.contextmanager
def stop_postgresql(cluster, version, target, seconds):
    del version, target, seconds
    cluster.freeze()
    try:
        yield
    finally:
        cluster.thaw()


# What the other account does: a function of its client and Service -----------------------------------


def list_services(client, service):
    del service
    return client.request("GET", "/v1/Services")[0]


def create_environment(client, service):
    name = f"e-{next(unique)}"
    return client.post(f"/v1/Services/{service}/Environments", {"UniqueName": name, "DomainSuffix": name[-16:]})[0]


@dataclasses.dataclass
class Attack:
    """`is_limited`: by ServerlessMaxRequests and ServerlessMaxRequestsPerAccount, which can be off. `times`: how much
    longer than other attacks. `pool`: the connections of a child."""
    clients: int
    send: typing.Callable = None
    is_limited: bool = False
    besides: typing.Callable = None
    other: typing.Callable = list_services
    times: float = 1
    pool: int = 8


ATTACKS = {
    "readers": Attack(200, read_nothing, is_limited=True),
    "uploads": Attack(200, upload_slowly, is_limited=True),
    "lists": Attack(40, list_functions, is_limited=True),
    "ranges": Attack(40, ask_for_ranges),
    "pages": Attack(16, list_builds),
    "lock": Attack(40, write_to_locked, besides=lock_service, other=create_environment, pool=4),
    "silence": Attack(0, besides=stop_postgresql, times=2.5),
}
