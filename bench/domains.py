"""Domains: a database with one Environment and its two Assets, the servers that are asked for them, and how
often a node reads a route."""

import http.client
import json
import re
import time

import data
import load
import servers
import workload

TAIL = "bench.example.org"
DATABASE = "domains"
UNLEASED = "domains_unleased"  # the same, where each request reads its route
ASSETS = {"/600.bin": 600, "/1mb.bin": 1_000_000}
BOUNDARY = "bench-boundary"

READS_PER_SECOND = 40  # of a domain's route, by a node
READ_SECONDS = 5


def content(size):
    """Bytes that are the same in every run, and that nothing compresses by chance."""
    return bytes((number * number * 31 + number * 7) % 251 for number in range(size))


# The Environment ---------------------------------------------------------------------------------


def created(port, path, form):
    status, body = workload.ask(port, "POST", path, form)
    if status != 201:
        raise load.LoadFailed(f"POST {path}: {status} {body}")
    return json.loads(body)


def part(name, value, attributes=""):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{attributes}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def upload(port, service, kind, path, body):
    """An Asset or a Function with one Version; kind: Assets or Functions. Returns the Version's SID."""
    artifact = created(port, f"/v1/Services/{service}/{kind}", "FriendlyName=bench")["sid"]
    media_type = "application/javascript" if kind == "Functions" else "application/octet-stream"
    body = part("Path", path.encode()) + part("Visibility", b"public") + part(
        "Content", body, f'; filename="a"\r\nContent-Type: {media_type}')
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", f"/v1/Services/{service}/{kind}/{artifact}/Versions",
                       body=body + f"--{BOUNDARY}--\r\n".encode(),
                       headers={**workload.headers(),
                                "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 201:
        raise load.LoadFailed(f"upload of {path}: {answer.status} {text}")
    return json.loads(text)["sid"]


def completed(port, service, kind, versions, runtime=None):
    """A Build of the Versions, once it is completed; returns its SID."""
    form = "&".join([f"{kind[:-1]}Versions={version}" for version in versions]
                    + ([f"Runtime={runtime}"] if runtime else []))
    build = created(port, f"/v1/Services/{service}/Builds", form)["sid"]
    for _ in range(100):
        _, body = workload.ask(port, "GET", f"/v1/Services/{service}/Builds/{build}")
        if json.loads(body)["status"] == "completed":
            return build
        time.sleep(0.1)
    raise load.LoadFailed(f"Build {build} is not completed")


def deploy(port):
    """Deploys the Assets; returns the domain."""
    service = created(port, "/v1/Services", "UniqueName=bench-domain&FriendlyName=bench")["sid"]
    build = completed(port, service, "Assets",
                      [upload(port, service, "Assets", path, content(size)) for path, size in ASSETS.items()])
    path = f"/v1/Services/{service}/Environments"
    environment = created(port, path, "UniqueName=bench&DomainSuffix=bench")
    created(port, f"{path}/{environment['sid']}/Deployments", f"BuildSid={build}")
    return environment["domain_name"]


def set_lease(database, milliseconds):
    data.psql(database, f"""
        UPDATE serverless.settings SET route_lease = {milliseconds}, route_wait = {milliseconds},
                                       route_lease_wanted = {milliseconds}""")


def make_databases(module, port):
    """Deploys by way of an httpd that ends then, so that its database can be copied; returns the domain."""
    data.copy("base", DATABASE)
    server = servers.start_httpd("httpd_deploying", module, [f"Use API {port} {DATABASE} serverless"],
                                 [f"ServerlessDomain {TAIL}"])
    try:
        server.wait_for(port)
        domain = deploy(port)
    finally:
        server.stop()
    data.copy(DATABASE, UNLEASED)
    for database, lease in ((DATABASE, 50), (UNLEASED, 0)):
        set_lease(database, lease)
        data.psql(database, "VACUUM (FREEZE, ANALYZE)")
    return domain


# The servers -------------------------------------------------------------------------------------


def write_files():
    """The files of the same bytes, for httpd and nginx; returns their folder."""
    folder = data.HOME / "files"
    folder.mkdir(exist_ok=True)
    for path, size in ASSETS.items():
        (folder / path[1:]).write_bytes(content(size))
    return folder


def write_requests():
    workload.write("asset_600", ["GET /600.bin"])
    workload.write("asset_1mb", ["GET /1mb.bin"])
    workload.write("unknown_path", ["GET /unknown"])


def start_httpd(name, module, files, ports, mpm=servers.MPM, more=()):
    """An httpd that serves the domain, the same with a route for each request, and files of its own."""
    domain, unleased, own = ports
    return servers.start_httpd(
        name, module,
        [f"Use Domain {domain} {DATABASE}", f"Use Domain {unleased} {UNLEASED}", f"Use Files {own} {files}"],
        [f"ServerlessDomain {TAIL}", f'ServerlessAssetCache "{data.HOME / name / "assets"}"', *more], mpm)


class Domains:
    """The servers of the cells for domains, by the names in bench/plan.py."""

    def __init__(self, module, ports, keep):
        self.module = module
        self.ports = ports
        self.keep = keep
        self.hosts = {}
        self.headers = {}  # of the requests to a host
        self.files = write_files()

    def start(self):
        write_requests()
        domain = make_databases(self.module, self.ports.pop())
        for suffix, mpm in (("", servers.MPM), ("_event", "event")):
            self.start_one(suffix, mpm, domain)
        port = self.ports.pop()
        self.hosts["nginx"] = self.keep(servers.start_nginx(port, self.files)), port
        self.hosts["no_domain"] = self.hosts["domain"]
        self.headers["no_domain"] = {"Host": f"-{domain}"}
        for name, (server, port) in self.hosts.items():
            self.headers.setdefault(name, {"Host": domain})
            server.wait_for(port)

    def start_one(self, suffix, mpm, domain):
        ports = [self.ports.pop() for _ in range(3)]
        server = self.keep(start_httpd(f"httpd_domains{suffix}", self.module, self.files, ports, mpm))
        for name, port in zip(("domain", "unleased", "files"), ports):
            server.wait_for(port)
            self.hosts[name + suffix] = server, port
        self.compare(ports[0], ports[2], domain)

    @staticmethod
    def compare(*ports_and_domain):
        """The Assets of the domain, and the server's own files, have the right bytes."""
        *ports, domain = ports_and_domain
        for port in ports:
            for path, size in ASSETS.items():
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", path, headers={"Host": domain})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or body != content(size):
                    raise load.LoadFailed(f"{path} on {port}: {answer.status}, {len(body)} bytes")

    # Reads of routes

    def watch_reads(self):
        """For a node of several children with each MPM: (what, reads a second, the most allowed)."""
        for mpm in ("event", "prefork"):
            busy = self.reads(mpm, lambda port: self.load(port).seconds)
            yield f"{mpm}, 16 connections", busy, READS_PER_SECOND
            yield f"{mpm}, idle", self.reads(mpm, self.idle), 0

    def load(self, port):
        return load.run(port, "asset_600", 16, READ_SECONDS, headers=self.headers["domain"])

    def idle(self, port):
        """Asks for the Asset once, and returns the time after that."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/600.bin", headers=self.headers["domain"])
        connection.getresponse().read()
        time.sleep(READ_SECONDS)
        return READ_SECONDS

    def reads(self, mpm, action):
        """How many routes an httpd reads a second, besides the first one, while the action runs. action: returns
        its seconds."""
        ports = [self.ports.pop() for _ in range(3)]
        server = start_httpd(f"httpd_reads_{mpm}", self.module, self.files, ports, mpm,
                             ["Use Children", "LogLevel serverless_functions:info"])
        try:
            server.wait_for(ports[0])
            seconds = action(ports[0])
        finally:
            server.stop()
        return (reads_logged(server.log) - 1) / seconds


def reads_logged(log):
    """The sum of what each child has logged at its end (SF0050)."""
    found = re.findall(r"SF0050.* route_reads=(\d+)", log.read_text())
    if not found:
        raise load.LoadFailed(f"{log} has no SF0050")
    return sum(map(int, found))
