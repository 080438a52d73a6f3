"""What a load costs: processor time and memory of a server and of PostgreSQL, and whether anything
else was running meanwhile."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROCESSORS = os.cpu_count()

# A round is disturbed when others had more than this share of the machine's processor time, or the
# hypervisor kept more than this share back.
FOREIGN_MAX = 0.05
STEAL_MAX = 0.05
COUNTER_ATTEMPTS = 5


# Processes ---------------------------------------------------------------------------------------


def stat_of(pid):
    """The fields of /proc/PID/stat from the third (state) on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root):
    """The process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(stat_of(entry)[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def running_seconds(pid):
    """Of all its threads, in nanoseconds' resolution, and of the children that it has reaped."""
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) / 1e9
    reaped = stat_of(pid)[13:15]
    return total + sum(map(int, reaped)) * TICK


def cpu_seconds(root):
    """Of a process and of all below it, those that have ended among them."""
    total = 0.0
    for pid in tree(root):
        try:
            total += running_seconds(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # has ended meanwhile: its parent has its time
    return total


def status_kib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def memory_kib(root, field="VmHWM"):
    """Resident memory of the tree, at its peak or (VmRSS) now; what is shared counts for each."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += status_kib(pid, field)
    return total


def private_kib(pid):
    """Memory that no other process shares."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def written_kib(pid):
    """Memory that the process has written to: without pages of files, which it shares with each process of the
    same program."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def forget_peak(root):
    for pid in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


# The machine -------------------------------------------------------------------------------------


def machine():
    """Seconds since it started that processors were busy, and that the hypervisor kept back."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq) * TICK, steal * TICK


class Counter:
    """Processor time, by perf, of processes and of those that they start, however these end: bubblewrap's children may
    be reaped by nobody who keeps their time. root: the process id of the first."""

    def __init__(self, root):
        attempts = 0
        while not self.start(root):
            attempts += 1
            if attempts == COUNTER_ATTEMPTS:
                raise SystemExit(f"perf stat: {self.process.communicate()[1]}")

    def start(self, root):
        """Returns whether perf counts. It does not where one of the processes has just ended."""
        control, self.control = os.pipe()
        self.acknowledged, acknowledged = os.pipe()
        self.process = subprocess.Popen(
            ["perf", "stat", "-x", ",", "-e", "task-clock", "-D", "-1", f"--control=fd:{control},{acknowledged}",
             "-p", ",".join(map(str, tree(root)))], text=True, pass_fds=(control, acknowledged),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        os.close(acknowledged)
        os.write(self.control, b"enable\n")
        os.close(control)
        if os.read(self.acknowledged, 16):
            return True
        os.close(self.control)
        os.close(self.acknowledged)
        return False

    def stop(self):
        """Returns seconds."""
        self.process.send_signal(signal.SIGINT)
        _, text = self.process.communicate()
        os.close(self.control)
        os.close(self.acknowledged)
        found = [line.split(",")[0] for line in text.splitlines() if ",task-clock" in line]
        if not found:
            raise SystemExit(f"perf stat: {text}")
        return float(found[0]) / 1e3


class Round:
    """From its making to stop(): what the server, the processes behind it, PostgreSQL and the rest of the machine
    did. server, postmaster: their process ids; behind: that of the runner, or of the server behind a proxy."""

    def __init__(self, server, postmaster, behind=None):
        self.roots = (server, postmaster)
        self.behind = behind
        for root in (server, behind):
            if root:
                forget_peak(root)
        self.counter = Counter(behind) if behind else None
        self.begin = self.read()

    def read(self):
        own = time.process_time()
        return [time.monotonic(), own, *machine(), *map(cpu_seconds, self.roots)]

    def stop(self, load_seconds):
        """load_seconds: processor time of the load generator, which is not foreign either."""
        elapsed, own, busy, steal, server, postgres = (
            after - before for before, after in zip(self.begin, self.read()))
        behind = self.counter.stop() if self.counter else 0.0
        capacity = elapsed * PROCESSORS
        ours = own + server + postgres + behind + load_seconds
        return {
            "server": server,
            "postgres": postgres,
            "behind": behind,
            "memory": memory_kib(self.roots[0]) + (memory_kib(self.behind) if self.behind else 0),
            "foreign": max(0.0, busy - ours) / capacity,
            "steal": steal / capacity,
        }


def disturbance(measured):
    """The share of the processors that was kept from the measurement."""
    return measured["foreign"] + measured["steal"]


def is_disturbed(measured):
    return measured["foreign"] > FOREIGN_MAX or measured["steal"] > STEAL_MAX
