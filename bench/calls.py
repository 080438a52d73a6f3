"""Calls of Functions: a database with one Environment, httpds with a runner each, and the servers beside them."""

import http.client
import os
import shutil
import statistics
import subprocess
import threading
import time

import data
import domains
import load
import measure
import servers
import workload
from runner import Runner

TAIL = domains.TAIL
DATABASE = "calls"
ISOLATES = os.cpu_count()
ANSWER = b"Hello World"
TIMEOUT = 1.0  # seconds of ServerlessExecutionTimeout in bench/httpd.conf
SOURCES = {
    "/hello": (data.SOURCE / "bench" / "peers" / "hello_function.js").read_bytes(),
    "/logs": b"""exports.handler = (context, event, callback) => {
        console.log('called as %s', context.PATH); console.log({ event }); callback(null, 'Hello World'); };\n""",
    "/never": b"exports.handler = () => {};\n",
    "/crash": b"exports.handler = () => process.kill(process.pid, 9);\n",
    "/spin": b"exports.handler = () => { for (;;); };\n",
}

# What is measured besides the cells of bench/plan.py: names for ONLY, and methods of Calls. Each returns failures.
WATCHES = {
    "call-system-calls": "watch_system_calls",
    "call-memory": "watch_memory",
    "call-limit": "watch_limit",
    "call-deployment": "watch_deployments",
    "call-twilio-run": "watch_twilio_run",
}

COUNT_SECONDS = 3
LIMIT_ROUNDS = 5
LIMIT_SECONDS = 3
LIMIT_CONNECTIONS = 4
LATE_MAX = 0.1  # seconds from the limit to the 504
P99_MAX = 1.2  # of the p99 without Functions that do not end
DEPLOYMENTS = 10  # of each level of isolation
COLD_MAX = 130  # milliseconds of processor time
PRIVATE_MAX = 10  # MiB
TWILIO_RUN_SECONDS = 20
TWILIO_RUN_TIMES = 1000


def shown(text, value, limit, unit, at_least=False):
    """Prints a figure, and whether it reaches its limit."""
    is_reached = value >= limit if at_least else value <= limit
    print(f"{text:60} {value:9.2f} {unit}, {'at least' if at_least else 'at most'} {limit}: "
          f"{'reached' if is_reached else 'MISSED'}", flush=True)


def ask(port, domain, path):
    """One answer on a connection of its own: status, body, seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.monotonic()
    connection.request("GET", path, headers={"Host": domain})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, body, time.monotonic() - began


def isolates(runner):
    """The process ids of node below a runner."""
    return [pid for pid in measure.tree(runner.pid)
            if os.readlink(f"/proc/{pid}/exe").endswith("/node")]


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
        for name in ("hello", "logs"):
            workload.write(name, [f"GET /{name}"])
        self.start_modules((name + suffix, isolation, mpm)
                           for name, isolation in (("call", "none"), ("caged", "bubblewrap"))
                           for suffix, mpm in (("", servers.MPM), ("_event", "event")))
        self.start_beside()
        for name, (server, port) in self.hosts.items():
            server.wait_for(port)
            self.headers[name] = {"Host": self.domain}
            self.compare(name, port)

    def start_modules(self, wanted):
        """httpds on one database, with the Functions deployed. wanted: (name, isolation, MPM)."""
        data.copy("base", DATABASE)
        for each in wanted:
            self.start_module(*each)
        self.domain = self.deploy()

    def start_module(self, name, isolation, mpm):
        """httpd with a runner of its own."""
        runner = self.keep(Runner(name, isolation)).wait()
        spool = data.HOME / f"spool_{name}"
        shutil.rmtree(spool, ignore_errors=True)
        port, limit, api = (self.ports.pop() for _ in range(3))
        server = self.keep(servers.start_httpd(
            f"httpd_{name}", self.module,
            [f"Use Calls {port} {DATABASE} {ISOLATES}", f"Use Calls {limit} {DATABASE} {ISOLATES + 1}",
             f"Use API {api} {DATABASE} serverless"],
            [f"ServerlessDomain {TAIL}", f'ServerlessRunner "{runner.control}"', f'ServerlessLogSpool "{spool}"',
             *self.settings], mpm))
        server.behind = runner.pid
        server.wait_for(port)
        self.hosts[name] = server, port
        self.runners[name] = runner
        self.ports_of[name] = {"limit": limit, "api": api}
        self.api = self.api or api

    def start_beside(self):
        script = data.SOURCE / "bench" / "peers" / "hello.js"
        for kind in ("http", "express"):
            port = self.ports.pop()
            self.hosts["bare" if kind == "http" else kind] = self.keep(
                servers.start_script(f"hello_{kind}", script, kind, port)), port
        for suffix, mpm in (("", servers.MPM), ("_event", "event")):
            self.start_proxy(f"proxy{suffix}", script, mpm)
        port = self.ports.pop()
        self.hosts["twilio_run"] = self.start_twilio_run(port, "--no-fork-process"), port

    def start_proxy(self, name, script, mpm):
        socket = self.runners["call"].folder / f"{name}.socket"
        behind = self.keep(servers.start_script(name, script, "http", socket))
        port = self.ports.pop()
        modules = [f'LoadModule {part}_module "${{MODULES}}/mod_{part}.so"' for part in ("proxy", "proxy_http")]
        server = self.keep(servers.start_httpd(f"httpd_{name}", self.module, [f"Use Proxy {port} {socket}"],
                                               modules, mpm))
        server.behind = behind.pid
        self.hosts[name] = server, port

    def start_twilio_run(self, port, *options):
        """twilio-run's local server, which does not print each request."""
        project = data.HOME / "twilio_run"
        (project / "functions").mkdir(parents=True, exist_ok=True)
        (project / "functions" / "hello.js").write_bytes(SOURCES["/hello"])
        (project / "package.json").write_text('{"name":"bench","version":"1.0.0"}\n')
        (project / ".env").write_text("")
        return self.keep(servers.start_script(f"twilio_run{port}", servers.SDK / "twilio-run" / "bin" / "twilio-run.js",
                                              "start", "--port", port, "--no-logs", *options, folder=project))

    def compare(self, name, port):
        """The server's answer is right."""
        status, body, _ = ask(port, self.domain, "/hello")
        if status != 200 or body != ANSWER:
            raise load.LoadFailed(f"/hello of {name}: {status} {body}")

    # Deployments

    def build(self, sources):
        return domains.completed(self.api, self.service, "Functions", [
            domains.upload(self.api, self.service, "Functions", path, source) for path, source in sources.items()])

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

    # System calls

    def watch_system_calls(self):
        """Of each process in the steady state, for each call."""
        print("\nFor each call, 16 connections", flush=True)
        for name in ("call", "call_event"):
            self.count(name, 1)
            counts, requests = self.count(name, COUNT_SECONDS)
            for part, count in counts.items():
                print(f"{name}, {part}: " + ", ".join(
                    f"{each / requests:.2f} {event}" for event, each in count.items()), flush=True)
        return []

    def count(self, name, seconds):
        """What the kernel counts in httpd and in isolates while calls run: {part: {event: count}}, calls."""
        server, port = self.hosts[name]
        counters = {part: self.counter(measure.tree(root), seconds + 1)
                    for part, root in (("httpd", server.pid), ("runner and isolates", server.behind))}
        requests = load.run(port, "hello", 16, seconds, headers=self.headers[name]).requests
        return {part: self.counted(counter) for part, counter in counters.items()}, requests

    @staticmethod
    def counter(pids, seconds):
        return subprocess.Popen(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter,sched:sched_switch", "-p",
                                 ",".join(map(str, pids)), "--", "sleep", str(seconds)], text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    @staticmethod
    def counted(counter):
        _, text = counter.communicate()
        names = {"raw_syscalls:sys_enter": "system calls", "sched:sched_switch": "switches of threads"}
        found = {words[2]: words[0] for words in (line.split(",") for line in text.splitlines()) if len(words) > 2}
        if not set(names) <= set(found):
            raise load.LoadFailed(f"perf stat: {text}")
        return {name: int(found[event]) for event, name in names.items()}

    # Memory

    def watch_memory(self):
        print("\nPrivate memory of an idle isolate", flush=True)
        for name in ("call", "caged"):
            load.run(self.hosts[name][1], "hello", 16, 1, headers=self.headers[name])
            time.sleep(1)
            sizes = [measure.private_kib(pid) / 1024 for pid in isolates(self.runners[name])]
            shown(f"{name}, {len(sizes)} isolates, median", statistics.median(sizes), PRIVATE_MAX, "MiB")
        return []

    # Calls that do not end

    def watch_limit(self):
        """Calls of one Function while another one of the Environment does not end: the p99 of the first, and when the
        second is answered."""
        print(f"\nCalls beside a Function that does not end, {LIMIT_CONNECTIONS} connections", flush=True)
        name = "caged"
        port = self.ports_of[name]["limit"]
        p99 = {path: [] for path in ("", "/never", "/spin")}
        answers = {path: [] for path in p99}
        for number in range(-1, LIMIT_ROUNDS):
            for path in p99:
                taken = self.beside(port, path, answers[path])
                if number >= 0:
                    p99[path].append(taken)
        wrong = []
        for path in ("/never", "/spin"):
            ratios = [each / alone for each, alone in zip(p99[path], p99[""])]
            shown(f"p99 beside {path} / alone ({statistics.median(p99['']):.0f} us)", statistics.median(ratios),
                  P99_MAX, "times")
            late = [seconds - TIMEOUT for _, seconds in answers[path]]
            shown(f"{path}: from the limit to the 504, median of {len(late)}", statistics.median(late) * 1000,
                  LATE_MAX * 1000, "ms")
            shown(f"{path}: the longest", max(late) * 1000, LATE_MAX * 1000, "ms")
            wrong += [f"{path}: {status}" for status, _ in answers[path] if status != 504]
        return wrong

    def beside(self, port, path, answers):
        """The p99 of /hello while one client calls the path again and again, unless that is empty."""
        until = time.monotonic() + LIMIT_SECONDS
        client = threading.Thread(target=self.call_until, args=(until, port, path, answers))
        client.start()
        result = load.run(port, "hello", LIMIT_CONNECTIONS, LIMIT_SECONDS, headers={"Host": self.domain})
        client.join()
        return result.p99

    def call_until(self, until, port, path, answers):
        while path and time.monotonic() < until:
            status, _, seconds = ask(port, self.domain, path)
            answers.append((status, seconds))

    # Deployments

    def watch_deployments(self):
        """The first call after a Deployment, and the processor time of the isolate that starts for it."""
        print("\nThe first call after a Deployment", flush=True)
        environment = self.environment("deployed")
        wrong = []
        for name in ("call", "caged"):
            first, cold = [], []
            for number in range(DEPLOYMENTS):
                wrong += self.deploy_and_call(name, environment, f"{name} {number}", first, cold)
            label = f"isolation {'none' if name == 'call' else 'bubblewrap'}"
            print(f"{label}: median {statistics.median(first) * 1000:.0f} ms, longest {max(first) * 1000:.0f} ms, of "
                  f"{DEPLOYMENTS}", flush=True)
            shown(f"{label}, processor time of its isolate and the runner", statistics.median(cold) * 1000, COLD_MAX,
                  "ms")
        return wrong

    def deploy_and_call(self, name, environment, text, first, cold):
        source = f"exports.handler = (context, event, callback) => callback(null, '{text}');\n"
        build = self.build({"/hello": source.encode()})
        counter = measure.Counter(self.runners[name].pid)
        domains.created(self.ports_of[name]["api"], f"{environment['path']}/Deployments", f"BuildSid={build}")
        status, body, seconds = ask(self.hosts[name][1], environment["domain_name"], "/hello")
        first.append(seconds)
        cold.append(counter.stop())
        return [] if (status, body) == (200, text.encode()) else [f"after a Deployment of {text}: {status} {body}"]

    # twilio-run as it comes

    def watch_twilio_run(self):
        """It forks a process for each call: one figure, with 2 connections."""
        print("\ntwilio-run as it comes, which forks for each call, 2 connections", flush=True)
        port = self.ports.pop()
        server = self.start_twilio_run(port)
        server.wait_for(port)
        answers = []
        until = time.monotonic() + TWILIO_RUN_SECONDS
        began = time.monotonic()
        clients = [threading.Thread(target=self.call_until, args=(until, port, "/hello", answers)) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        rate = len(answers) / (time.monotonic() - began)
        server.stop()
        ours = load.run(self.hosts["call"][1], "hello", 2, 2, headers=self.headers["call"]).rate
        print(f"{len(answers)} calls, {rate:.2f} a second; the module, right after it: {ours:.0f} a second", flush=True)
        shown("the module / twilio-run as it comes", ours / rate, TWILIO_RUN_TIMES, "times", at_least=True)
        return [f"twilio-run: {status}" for status, _ in answers if status != 200]
