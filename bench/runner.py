"""A serverless-runner of the benchmark's own, with a folder of its own under /tmp: the paths of Unix sockets are
short, and the checkout may be private."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

import data
import servers

USER = "www-data"  # that httpd's children run as, too
PROGRAM = data.SOURCE / "build" / "serverless-runner"
CONFIGURATION = """
Control   "{folder}/control"
Client    {user}
Isolation {isolation}
Egress    {egress}
Cache     "{folder}/cache" 256M
Isolate   "{folder}/isolate/main.js"
"""
RUNTIMES = ("node18", "node20", "node22", "node24")
PACKAGES = data.HOME / "packages" / "node_modules"  # with the package twilio, where "make bench" has installed it


class Runner(servers.Server):
    """Ends with its isolates; its folder is removed then."""

    def __init__(self, name, isolation):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="serverless-bench-"))
        super().__init__(self.start(isolation), data.HOME / f"runner_{name}.log")

    @property
    def control(self):
        return self.folder / "control"

    def start(self, isolation):
        shutil.copy(PROGRAM, self.folder)
        shutil.copytree(data.SOURCE / "runtime" / "isolate", self.folder / "isolate")
        egress = "host" if isolation == "none" else "none"
        text = CONFIGURATION.format(folder=self.folder, user=USER, isolation=isolation, egress=egress)
        if PACKAGES.is_dir():
            shutil.copytree(PACKAGES, self.folder / "packages", symlinks=True)
            text += f'Twilio "{self.folder}/packages"\n'
        (self.folder / "runner.conf").write_text(
            text + "".join(f'Runtime {name} "{servers.node(name)}"\n' for name in RUNTIMES))
        (self.folder / "cache").mkdir()
        for path in (self.folder, self.folder / "cache"):
            os.chown(path, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        return self.command(data.HOME / f"runner_{isolation}.log")

    def command(self, log):
        group = pwd.getpwnam(USER).pw_gid
        with open(log, "w", encoding="utf-8") as out:
            return subprocess.Popen(["setpriv", f"--reuid={USER}", f"--regid={group}", "--clear-groups",
                                     str(self.folder / "serverless-runner"), "-c",
                                     str(self.folder / "runner.conf")], cwd="/", stdout=out, stderr=out)

    def wait(self):
        deadline = time.monotonic() + 30
        while not self.control.is_socket():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the runner did not start; its log is {self.log}")
            time.sleep(0.05)
        return self

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder)
