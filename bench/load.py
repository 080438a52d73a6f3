"""The load generator: wrk, one thread, with the requests of a file."""

import dataclasses
import os
import random
import subprocess

import workload

ERRORS = ("connect", "read", "write", "status", "timeout")
STATUS = ERRORS.index("status")
SCRIPTS = workload.data.SOURCE / "bench" / "wrk"


class LoadFailed(Exception):
    """Something else than answers came back, or other answers than were asked for."""


@dataclasses.dataclass
class Result:
    requests: int
    seconds: float
    p50: float  # microseconds
    p99: float
    cpu: float  # seconds that wrk itself took

    @property
    def rate(self):
        return self.requests / self.seconds


def wrk(script, port, connections, seconds, arguments, threads=1, headers=None):
    """Runs it to its end; returns the words of its RESULT line and its processor time."""
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
               "-s", SCRIPTS / script]
    for name, value in (headers or workload.headers()).items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}", "--", *arguments]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    results = [line.split()[1:] for line in out.splitlines() if line.startswith("RESULT ")]
    if process.returncode != 0 or not results:
        raise LoadFailed(f"wrk ended with {process.returncode}: {out.strip()}")
    return results[0], usage.ru_utime + usage.ru_stime


def run(port, name, connections, seconds, order="random", headers=None, refused=False, pause=0):
    """Sends the requests of a file for some seconds. Anything but 2xx and 3xx is a failure; with `refused`,
    anything but 4xx and 5xx. headers: None for those of the API. pause: of each connection before a request, in
    milliseconds."""
    path = workload.DIRECTORY / name
    words, cpu = wrk("load.lua", port, connections, seconds,
                     [order, path, random.randrange(1 << 30), pause], headers=headers)
    requests, microseconds, p50, p99, *errors = map(int, words)
    if refused:
        errors[STATUS] = requests - errors[STATUS]
    if any(errors) or requests == 0:
        kinds = dict(zip(ERRORS, errors))
        raise LoadFailed(f"{requests} answers, errors: {kinds}")
    return Result(requests, microseconds / 1e6, p50, p99, cpu)
