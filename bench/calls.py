"""Calls of Functions: a database with one Environment, httpds with a runner each, and the servers beside them."""

import http.client
import os
import shutil
import time

import data
import domains
import load
import servers
import workload
from runner import Runner

TAIL = domains.TAIL
DATABASE = "calls"
ISOLATES = os.cpu_count()
ANSWER = b"Hello World"
TIMEOUT = 1  # seconds of ServerlessExecutionTimeout
LONG_TIMEOUT = 10  # the same, as by default
SOURCES = {
    "/hello": (data.SOURCE / "bench" / "peers" / "hello_function.js").read_bytes(),
    "/logs": b"""exports.handler = (context, event, callback) => {
        console.log('called as %s', context.PATH); console.log({ event }); callback(null, 'Hello World'); };\n""",
    "/never": b"exports.handler = () => {};\n",
    "/crash": b"exports.handler = () => process.kill(process.pid, 9);\n",
    "/slow": b"exports.handler = (context, event, callback) => setTimeout(callback, 9000, null, 'slow');\n",
    "/busy": b"""exports.handler = (context, event, callback) => {
        const end = Date.now() + 9000; while (Date.now() < end); callback(null, 'busy'); };\n""",
    "/spin": b"exports.handler = () => { for (;;); };\n",
}


def ask(port, domain, path):
    """One answer on a connection of its own: status, body, seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.monotonic()
    connection.request("GET", path, headers={"Host": domain})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, body, time.monotonic() - began


class Calls:
    """The servers of the cells for calls, by the names in bench/plan.py."""

    def __init__(self, module, ports, keep, settings=()):
        """settings: further lines for each httpd.conf."""
        self.module = module
        self.settings = settings
        self.ports = ports
        self.keep = keep
        self.hosts = {}
        self.headers = {}
        self.runners = {}
        self.ports_of = {}  # of other virtual hosts
        self.service = None
        self.api = None  # the port of the first httpd's API
        self.domain = None

    # Servers

    def start(self):
        for name in ("hello", "logs", "twiml"):
            workload.write(name, [f"GET /{name}"])
        workload.write("alone", [f"GET /{len(ANSWER)}"])
        self.start_modules((name + suffix, isolation, mpm)
                           for name, isolation in (("call", "none"), ("caged", "bubblewrap"))
                           for suffix, mpm in (("", servers.MPM), ("_event", "event")))
        self.start_beside()
        for name, (server, port) in self.hosts.items():
            server.wait_for(port)
            self.headers[name] = {"Host": self.domain}
            self.compare(name, port)
        for name in [*self.runners]:
            self.hosts[f"{name}_alone"] = self.hosts[name][0], self.ports_of[name]["alone"]
            self.headers[f"{name}_alone"] = {}

    def start_modules(self, wanted):
        """httpds on one database, with the Functions deployed. wanted: (name, isolation, MPM)."""
        data.copy("base", DATABASE)
        for each in wanted:
            self.start_module(*each)
        self.domain = self.deploy()

    def start_module(self, name, isolation, mpm, calls=ISOLATES, settings=()):
        """httpd with a runner of its own. calls: ServerlessConcurrency."""
        runner = self.keep(Runner(name, isolation)).wait()
        spool = data.HOME / f"spool_{name}"
        shutil.rmtree(spool, ignore_errors=True)
        port, limit, long_limit, api, alone = (self.ports.pop() for _ in range(5))
        server = self.keep(servers.start_httpd(
            f"httpd_{name}", self.module,
            [f"Use Calls {port} {DATABASE} {calls} {TIMEOUT}s", f"Use Calls {limit} {DATABASE} {calls + 2} {TIMEOUT}s",
             f"Use Calls {long_limit} {DATABASE} {calls + 2} {LONG_TIMEOUT}s",
             f"Use API {api} {DATABASE} serverless", f"Use Limit {alone}"],
            [f"ServerlessDomain {TAIL}", f'ServerlessRunner "{runner.control}"', f'ServerlessLogSpool "{spool}"',
             *self.settings, *settings], mpm))
        server.behind = runner.pid
        server.wait_for(port)
        self.hosts[name] = server, port
        self.runners[name] = runner
        self.ports_of[name] = {"limit": limit, "long limit": long_limit, "api": api, "alone": alone}
        self.api = self.api or api

    def start_beside(self):
        script = data.SOURCE / "bench" / "peers" / "hello.js"
        for kind in ("http", "express"):
            port = self.ports.pop()
            self.hosts["bare" if kind == "http" else kind] = self.keep(
                servers.start_script(f"hello_{kind}", script, kind, port)), port
        for suffix, mpm in (("", servers.MPM), ("_event", "event")):
            self.start_proxy(f"proxy{suffix}", script, mpm)
            self.start_least(f"least{suffix}", mpm)
        for name, options in (("twilio_run", ["--no-logs"]), ("twilio_run_log", [])):
            port = self.ports.pop()
            self.hosts[name] = self.start_twilio_run(port, "--no-fork-process", *options), port

    def start_proxy(self, name, script, mpm):
        socket = self.runners["call"].folder / f"{name}.socket"
        behind = self.keep(servers.start_script(name, script, "http", socket))
        port = self.ports.pop()
        modules = [f'LoadModule {part}_module "${{MODULES}}/mod_{part}.so"' for part in ("proxy", "proxy_http")]
        server = self.keep(servers.start_httpd(f"httpd_{name}", self.module, [f"Use Proxy {port} {socket}"],
                                               modules, mpm))
        server.behind = behind.pid
        self.hosts[name] = server, port

    def start_least(self, name, mpm):
        """httpd with a handler that passes each call to one of some processes, and does nothing else."""
        folder = self.runners["call"].folder / name
        folder.mkdir()
        folder.chmod(0o755)
        behind = self.keep(servers.start_script(name, data.SOURCE / "bench" / "peers" / "line.js", folder, ISOLATES))
        port = self.ports.pop()
        server = self.keep(servers.start_httpd(f"httpd_{name}", self.module, [f"Use Limit {port}"],
                                               [f'BenchLines "{folder}" {ISOLATES}'], mpm))
        server.behind = behind.pid
        self.hosts[name] = server, port

    def start_twilio_run(self, port, *options):
        """twilio-run's local server."""
        project = data.HOME / "twilio_run"
        (project / "functions").mkdir(parents=True, exist_ok=True)
        (project / "functions" / "hello.js").write_bytes(SOURCES["/hello"])
        (project / "package.json").write_text('{"name":"bench","version":"1.0.0"}\n')
        (project / ".env").write_text("")
        return self.keep(servers.start_script(f"twilio_run{port}", servers.SDK / "twilio-run" / "bin" / "twilio-run.js",
                                              "start", "--port", port, *options, folder=project))

    def compare(self, name, port):
        """The server's answer is right."""
        status, body, _ = ask(port, self.domain, "/hello")
        if status != 200 or body != ANSWER:
            raise load.LoadFailed(f"/hello of {name}: {status} {body}")

    # Deployments

    def build(self, sources, runtime=None):
        return domains.completed(self.api, self.service, "Functions", [
            domains.upload(self.api, self.service, "Functions", path, source) for path, source in sources.items()],
            runtime)

    def deploy(self):
        """Deploys the Functions; returns the domain."""
        self.service = domains.created(self.api, "/v1/Services", "UniqueName=bench-calls&FriendlyName=bench")["sid"]
        environment = self.environment("bench")
        self.deploy_to(environment, self.build(SOURCES))
        return environment["domain_name"]

    def deploy_to(self, environment, build):
        domains.created(self.api, f"{environment['path']}/Deployments", f"BuildSid={build}")

    def environment(self, name):
        path = f"/v1/Services/{self.service}/Environments"
        made = domains.created(self.api, path, f"UniqueName={name}&DomainSuffix={name}")
        return {**made, "path": f"{path}/{made['sid']}"}
