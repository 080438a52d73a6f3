"""What is measured of calls besides the cells of bench/plan.py."""

import contextlib
import dataclasses
import http.client
import os
import statistics
import subprocess
import threading
import time

import calls
import data
import domains
import load
import measure
import servers as programs

COUNT_SECONDS = 3
PRIVATE_MAX = 10  # MiB of an idle isolate
PRIVATE_TWILIO_MAX = 25  # the same, which has used the package twilio
WARM_ATTEMPTS = 10
REST_SECONDS = 15  # after which an isolate has collected its garbage
LIMIT_ROUNDS = 3
LIMIT_SECONDS = 10
LIMIT_LOADS = ((10, "10 ms before each call"), (0, "one call after the other"))


@dataclasses.dataclass(frozen=True)
class Beside:
    """A Function beside the one whose p99 is measured, and the status of its answer."""

    what: str
    status: int


# /slow and /busy end before the limit: they show what a call that lasts costs others where no limit is reached.
LIMIT_PATHS = {
    "/slow": Beside("9 s of waiting", 200),
    "/never": Beside("waits without an end", 504),
    "/busy": Beside("9 s of a processor", 200),
    "/spin": Beside("takes a processor without an end", 504),
}
LIMIT_CONTROLS = (("/never", "/slow"), ("/spin", "/busy"))
LIMIT_CONNECTIONS = 4
LIMIT_ATTEMPTS = 3
LATE_MAX = 0.1  # seconds from the limit to the 504
P99_MAX = 1.2  # of the p99 without Functions that do not end
DEPLOYMENTS = 10  # of each level of isolation and Function
COLD_MAX = 130  # milliseconds of processor time
COLD_TWILIO_MAX = 350
RECALL_ROUNDS = 5
RECALLS = 1000  # calls of a round
RECALL_PAUSE = 1.5  # seconds: a child that was asked for lines returns each at once for a second
TWILIO_RUN_SECONDS = 20
TWILIO_RUN_TIMES = 1000

# Answers a text with TwiML, by the package twilio.
TWIML = """exports.handler = (context, event, callback) => {{
    const response = new Twilio.twiml.VoiceResponse();
    response.say('{text}');
    callback(null, response);
}};
"""
HELLO = "exports.handler = (context, event, callback) => callback(null, '{text}');\n"


def heading(text):
    print(f"\n{text}", flush=True)


def shown(text, value, limit, unit, at_least=False):
    """Prints a figure, and whether it reaches its limit."""
    is_reached = value >= limit if at_least else value <= limit
    print(f"{text:60} {value:9.2f} {unit}, {'at least' if at_least else 'at most'} {limit}: "
          f"{'reached' if is_reached else 'MISSED'}", flush=True)


def level_of(name):
    return "none" if name == "call" else "bubblewrap"


# System calls ------------------------------------------------------------------------------------


def watch_system_calls(servers):
    """Of each process in the steady state, for each call."""
    heading("For each call, 16 connections")
    for name in ("call", "call_event"):
        count(servers, name, 1)
        counts, requests = count(servers, name, COUNT_SECONDS)
        for part, events in counts.items():
            print(f"{name}, {part}: " + ", ".join(
                f"{each / requests:.2f} {event}" for event, each in events.items()), flush=True)
    return []


def count(servers, name, seconds):
    """What the kernel counts in httpd and in isolates while calls run: {part: {event: count}}, calls."""
    server, port = servers.hosts[name]
    counters = {part: counter(measure.tree(root), seconds + 1)
                for part, root in (("httpd", server.pid), ("runner and isolates", server.behind))}
    requests = load.run(port, "hello", 16, seconds, headers=servers.headers[name]).requests
    return {part: counted(process) for part, process in counters.items()}, requests


def counter(pids, seconds):
    return subprocess.Popen(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter,sched:sched_switch", "-p",
                             ",".join(map(str, pids)), "--", "sleep", str(seconds)], text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def counted(process):
    _, text = process.communicate()
    names = {"raw_syscalls:sys_enter": "system calls", "sched:sched_switch": "switches of threads"}
    found = {words[2]: words[0] for words in (line.split(",") for line in text.splitlines()) if len(words) > 2}
    if not set(names) <= set(found):
        raise load.LoadFailed(f"perf stat: {text}")
    return {name: int(found[event]) for event, name in names.items()}


# Memory ------------------------------------------------------------------------------------------


def isolates(runner):
    """The process ids of node below a runner."""
    found = set()
    for pid in measure.tree(runner.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if os.readlink(f"/proc/{pid}/exe").endswith("/node"):
                found.add(pid)
    return found


def private_mib(pids):
    """The median of those that have not ended, as they do after a call that has reached its limit."""
    sizes = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            sizes.append(measure.written_kib(pid) / 1024)
    if not sizes:
        raise load.LoadFailed("no isolate is left whose memory could be measured")
    return statistics.median(sizes)


def watch_memory(servers):
    heading("Private memory of an isolate, median: after a second of calls, and idle")
    for runtime in ("node20", "node24"):
        for what, path, source, most in (("hello world", "hello", HELLO, PRIVATE_MAX),
                                         ("TwiML", "twiml", TWIML, PRIVATE_TWILIO_MAX)):
            build = servers.build({f"/{path}": source.format(text="Hello World").encode()}, runtime)
            environment = servers.environment(f"{runtime}-{path}")
            servers.deploy_to(environment, build)
            for name in ("call", "caged"):
                look_at_memory(servers, name, path, environment["domain_name"], (f"{runtime}, {what}", most))
    return compare_memory()


def compare_memory():
    """Of an isolate without httpd, beside less than an isolate: how much is node's own."""
    nodes = [programs.node(runtime) for runtime in ("node20", "node24")]
    done = subprocess.run([nodes[0], data.SOURCE / "bench" / "memory.js", *nodes], stdout=subprocess.PIPE, text=True,
                          check=False)
    print(done.stdout, end="", flush=True)
    return [] if done.returncode == 0 else [f"bench/memory.js: exit status {done.returncode}"]


def warm(port, domain, path):
    """Calls a Function until it is answered: on a busy machine, the first call may reach the limit."""
    for _ in range(WARM_ATTEMPTS):
        status, body, _ = calls.ask(port, domain, path)
        if status == 200:
            return
    raise load.LoadFailed(f"{path}: {status} {body}")


def look_at_memory(servers, name, path, domain, row):
    title, most = row
    runner = servers.runners[name]
    others = isolates(runner)
    warm(servers.hosts[name][1], domain, f"/{path}")
    load.run(servers.hosts[name][1], path, 16, 1, headers={"Host": domain})
    pids = isolates(runner) - others
    busy = private_mib(pids)
    time.sleep(REST_SECONDS)
    shown(f"{title}, isolation {level_of(name)}: {busy:.1f} MiB, then", private_mib(pids), most, "MiB")


# Calls that do not end ---------------------------------------------------------------------------


def watch_limit(servers):
    """Calls of one Function while another one of the Environment does not end: the p99 of the first, and when the
    second is answered."""
    late = {path: [] for path in LIMIT_PATHS}
    wrong = []
    for pause, what in LIMIT_LOADS:
        heading(f"Calls beside a Function that does not end, {LIMIT_CONNECTIONS} connections, {what}")
        p99 = measure_limit(servers, pause, late, wrong)
        print(f"p99 alone: {statistics.median(p99['']):.0f} us", flush=True)
        for path in LIMIT_PATHS:
            show_p99(path, p99)
        for path, control in LIMIT_CONTROLS:
            shown(f"p99 beside {path} / beside {control}", ratio_of(p99[path], p99[control]), P99_MAX, "times")
    print(flush=True)
    for path, taken in late.items():
        if LIMIT_PATHS[path].status == 504:
            shown(f"{path}: from the limit to the 504, median of {len(taken)}", statistics.median(taken) * 1000,
                  LATE_MAX * 1000, "ms")
            shown(f"{path}: the longest", max(taken) * 1000, LATE_MAX * 1000, "ms")
    return wrong


def measure_limit(servers, pause, late, wrong):
    """Returns the p99 of /hello alone (""), and beside each path, of all rounds."""
    p99 = {path: [] for path in ("", *LIMIT_PATHS)}
    warm(servers.ports_of["caged"]["long limit"], servers.domain, "/hello")
    for _ in range(LIMIT_ROUNDS):
        for path, found in p99.items():
            answers = []
            found.append(beside(servers, path, answers, pause))
            for status, seconds in answers:
                if status != LIMIT_PATHS[path].status:
                    wrong.append(f"{path}: {status}")
                late[path].append(seconds - calls.LONG_TIMEOUT)
    return p99


def ratio_of(values, others):
    """The median of the ratios, round by round."""
    return statistics.median(value / other for value, other in zip(values, others))


def show_p99(path, p99):
    ratio = ratio_of(p99[path], p99[""])
    title = f"p99 beside {path}, {LIMIT_PATHS[path].what} / alone"
    if LIMIT_PATHS[path].status == 504:
        shown(title, ratio, P99_MAX, "times")
    else:
        print(f"{title:60} {ratio:9.2f} times", flush=True)


def beside(servers, path, answers, pause):
    """The p99 of /hello while one client calls the path again and again, unless that is empty. A run in which
    /hello itself reached the limit is repeated: on a busy machine, it may have had no processor."""
    for attempt in range(LIMIT_ATTEMPTS):
        try:
            return beside_once(servers, path, answers, pause)
        except load.LoadFailed as failure:
            print(f"repeated: {failure}", flush=True)
            if attempt == LIMIT_ATTEMPTS - 1:
                raise
    return None


def beside_once(servers, path, answers, pause):
    port = servers.ports_of["caged"]["long limit"]
    until = time.monotonic() + LIMIT_SECONDS
    client = threading.Thread(target=call_until, args=(until, port, servers.domain, path, answers))
    client.start()
    try:
        return load.run(port, "hello", LIMIT_CONNECTIONS, LIMIT_SECONDS, headers={"Host": servers.domain},
                        pause=pause).p99
    finally:
        client.join()


def call_until(until, port, domain, path, answers):
    while path and time.monotonic() < until:
        status, _, seconds = calls.ask(port, domain, path)
        answers.append((status, seconds))


# Deployments -------------------------------------------------------------------------------------


def watch_deployments(servers):
    """The first call after a Deployment, and the processor time of the isolate that starts for it."""
    heading("The first call after a Deployment")
    environment = servers.environment("deployed")
    wrong = []
    for what, source, most in (("hello world", HELLO, COLD_MAX), ("TwiML", TWIML, COLD_TWILIO_MAX)):
        for name in ("call", "caged"):
            first, cold = [], []
            for number in range(DEPLOYMENTS):
                wrong += deploy_and_call(servers, name, environment, (source, f"{name} {number}"), first, cold)
            label = f"{what}, isolation {level_of(name)}"
            if not first:
                return [*wrong, f"{label}: no first call was answered"]
            print(f"{label}: median {statistics.median(first) * 1000:.0f} ms, longest {max(first) * 1000:.0f} ms, of "
                  f"{len(first)}", flush=True)
            shown(f"{label}: CPU of its isolate and the runner", statistics.median(cold) * 1000, most, "ms")
    return wrong


def deploy_and_call(servers, name, environment, function, first, cold):
    source, text = function
    build = servers.build({"/hello": source.format(text=text).encode()})
    counter_of_time = measure.Counter(servers.runners[name].pid)
    domains.created(servers.ports_of[name]["api"], f"{environment['path']}/Deployments", f"BuildSid={build}")
    status, body, seconds = calls.ask(servers.hosts[name][1], environment["domain_name"], "/hello")
    taken = counter_of_time.stop()
    if status == 504:
        print(f"{text}: the first call has reached its limit, and does not count", flush=True)
        return []
    first.append(seconds)
    cold.append(taken)
    return [] if status == 200 and text.encode() in body else [f"after a Deployment of {text}: {status} {body}"]


# Lines that are recalled -------------------------------------------------------------------------


def watch_recall(servers):
    """One isolate, and two connections that two children of the prefork MPM have: calls on one of them, and on both
    in turn, where each call needs the line that the other child keeps."""
    heading(f"An idle line is kept by its child, or recalled for another one; {RECALLS} calls in turn, one at a time")
    servers.start_module("recall", "none", "prefork", 1, ["Use Children"])
    server, port = servers.hosts["recall"]
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(2)]
    for connection in connections:
        connection.connect()
    rounds = {"kept": [], "recalled": []}
    for number in range(-1, RECALL_ROUNDS):
        for kind, used in (("kept", connections[:1]), ("recalled", connections)):
            found = recall_round(servers, server, used)
            if number >= 0:
                rounds[kind].append(found)
    for kind, found in rounds.items():
        wall, httpd, behind = (statistics.median(values) for values in zip(*found))
        print(f"{kind:10} {wall:7.0f} us for a call (median); processor time {httpd + behind:7.1f} us: httpd "
              f"{httpd:.1f}, runner and isolate {behind:.1f}", flush=True)
    for connection in connections:
        connection.close()
    return []


def recall_round(servers, server, connections):
    """Returns, in microseconds for each call: the median of the time, the processor time of httpd and of runner and
    isolate."""
    time.sleep(RECALL_PAUSE)
    roots = (server.pid, server.behind)
    before = [measure.cpu_seconds(root) for root in roots]
    times = [timed_call(servers, connections[number % len(connections)]) for number in range(RECALLS)]
    taken = [measure.cpu_seconds(root) - begin for root, begin in zip(roots, before)]
    return statistics.median(times) * 1e6, *(seconds * 1e6 / RECALLS for seconds in taken)


def timed_call(servers, connection):
    began = time.monotonic()
    connection.request("GET", "/hello", headers={"Host": servers.domain})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or body != calls.ANSWER:
        raise load.LoadFailed(f"/hello of prefork: {answer.status} {body}")
    return time.monotonic() - began


# twilio-run as it comes --------------------------------------------------------------------------


def watch_twilio_run(servers):
    """It forks a process for each call: one figure, with 2 connections."""
    heading("twilio-run as it comes, which forks for each call, 2 connections")
    port = servers.ports.pop()
    server = servers.start_twilio_run(port, "--no-logs")
    server.wait_for(port)
    answers = []
    began = time.monotonic()
    clients = [threading.Thread(target=call_until, args=(began + TWILIO_RUN_SECONDS, port, servers.domain, "/hello",
                                                         answers)) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    rate = len(answers) / (time.monotonic() - began)
    server.stop()
    ours = load.run(servers.hosts["call"][1], "hello", 2, 2, headers=servers.headers["call"]).rate
    print(f"{len(answers)} calls, {rate:.2f} a second; the module, right after it: {ours:.0f} a second", flush=True)
    shown("the module / twilio-run as it comes", ours / rate, TWILIO_RUN_TIMES, "times", at_least=True)
    return [f"twilio-run: {status}" for status, _ in answers if status != 200]


# By their names in ONLY. Each returns failures.
WATCHES = {
    "call-system-calls": watch_system_calls,
    "call-memory": watch_memory,
    "call-limit": watch_limit,
    "call-deployment": watch_deployments,
    "call-recall": watch_recall,
    "call-twilio-run": watch_twilio_run,
}
