"""The servers that bench/attack attacks: httpd as shipped, on a PostgreSQL of this run's own."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
HOME = SOURCE / "build" / "attack"
RELEASE = "0.1.0"  # the release before the limits and the deadlines

# Debian's apache2.conf and mods-available/mpm_event.conf.
DEBIAN = """
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
StartServers           2
MinSpareThreads        25
MaxSpareThreads        75
ThreadLimit            64
ThreadsPerChild        25
MaxRequestWorkers      150
MaxConnectionsPerChild 0
Timeout                300
KeepAlive              On
MaxKeepAliveRequests   100
KeepAliveTimeout       5
"""
LOADED = ["authn_core", "authz_core", "authz_host", "authz_user", "auth_basic", "alias", "dbd", "reqtimeout", "ssl"]


def run(*command, **kwargs):
    return subprocess.run([str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE,
                          **kwargs).stdout.strip()


def apxs(name):
    return run(os.environ.get("APXS", "apxs"), "-q", name)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def children_of(process):
    """The fields of /proc/PID/status of each child."""
    children = []
    for path in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            status = dict(re.findall(r"^(\w+):\s+(\S+)", path.read_text(), re.M))
        except OSError:  # it has ended
            continue
        if status.get("PPid") == str(process):
            children.append(status)
    return children


# Versions ----------------------------------------------------------------------------------------


class Version:
    """A module with its sources and the name of its database."""

    def __init__(self, source, module, database):
        self.source = source
        self.module = pathlib.Path(module).resolve()
        self.database = database
        self.name = (source / "VERSION").read_text().strip()
        self.keys = HOME / f"variable_keys_{database}"


def release():
    """The module of RELEASE, built from its tag; None without git or the tag."""
    source = HOME / RELEASE
    module = source / "build" / "mod_serverless_functions.so"
    if not module.exists():
        tag = subprocess.run(["git", "-C", SOURCE, "archive", RELEASE], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False)
        if tag.returncode:
            return None
        source.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-x", "-C", source], input=tag.stdout, check=True)
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SANITIZE")}
        with open(HOME / "release.log", "w", encoding="utf-8") as log:
            subprocess.run(["make", "-C", source, "-j2"], env=environment, stdout=log, stderr=log, check=True)
    return Version(source, module, "serverless_" + RELEASE.replace(".", "_"))


# PostgreSQL --------------------------------------------------------------------------------------


class Cluster:
    """A PostgreSQL with a database for each version."""

    def __init__(self):
        self.home = HOME / "postgresql"
        run(SOURCE / "tools" / "cluster", "start", self.home)
        self.socket = (self.home / "socket").read_text().strip()
        self.stopped = []

    def psql_command(self, version, text):
        return ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", self.socket, "-U", "postgres",
                "-d", version.database, "-c", text]

    def psql(self, version, text):
        return run(*self.psql_command(version, text))

    def admin(self, version, *arguments):
        return run(version.source / "bin" / "serverless-admin", "-d",
                   f"host={self.socket} dbname={version.database} user=serverless_owner", *arguments)

    def add(self, version):
        """Makes the version's database where there is none, its schema, and its key of Variables."""
        postgres = ["psql", "-X", "-q", "-At", "-h", self.socket, "-U", "postgres", "-d", "postgres", "-c"]
        if version.database not in run(*postgres, "SELECT datname FROM pg_database").split():
            run(*postgres, f"CREATE DATABASE {version.database} OWNER serverless_owner")
        self.admin(version, "schema", "apply")
        self.admin(version, "grant", "serverless_httpd")
        version.keys.unlink(missing_ok=True)
        version.keys.touch(mode=0o600)
        version.keys.write_text(self.admin(version, "variables", "new-key") + "\n")

    def new_account(self, version):
        text = self.admin(version, "account", "create", "attack")
        return dict(re.findall(r"^(ACCOUNT_SID|AUTH_TOKEN)=(\S+)$", text, re.M))

    def processes(self):
        """The postmaster, then its children."""
        postmaster = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        return [postmaster, *(int(status["Pid"]) for status in children_of(postmaster))]

    def freeze(self):
        """SIGSTOP to all of its processes. The postmaster is first, so that it makes no further ones."""
        self.stopped = self.processes()[:1]
        os.kill(self.stopped[0], signal.SIGSTOP)
        self.stopped += self.processes()[1:]
        for process in self.stopped[1:]:
            os.kill(process, signal.SIGSTOP)

    def thaw(self):
        for process in reversed(self.stopped):
            os.kill(process, signal.SIGCONT)
        self.stopped = []

    def stop(self):
        self.thaw()
        run(SOURCE / "tools" / "cluster", "stop", self.home)


# httpd -------------------------------------------------------------------------------------------


def replace(text, old, new):
    if old not in text:
        raise SystemExit(f"the samples have no {old} any more")
    return text.replace(old, new)


def sample(cluster, version, has_limits, pool):
    """The shipped configuration, with the names and paths of this run. Without the limits, slow clients are as free as
    before there were limits. `pool`: the connections of a child."""
    samples = [version.source / "conf" / f"serverless_{name}.conf" for name in ("functions", "api")]
    text = "".join(sample.read_text() for sample in samples if sample.exists())  # RELEASE has one
    for old, new in {
        "*:443": "127.0.0.1:${PORT}",
        "host=/var/run/postgresql dbname=serverless ": f"host={cluster.socket} dbname={version.database} ",
        "/etc/apache2/serverless_variable_keys": str(version.keys),
        "/etc/ssl/certs/serverless.example.com.pem": str(HOME / "server.pem"),
        "/etc/ssl/private/serverless.example.com.key": str(HOME / "server.key"),
        "ServerlessDBConnections  8": f"ServerlessDBConnections  {pool}",
    }.items():
        text = replace(text, old, new)
    if not has_limits:
        text, count = re.subn(r"^ *Timeout .*\n", "", text, flags=re.M)
        if count != 1:
            raise SystemExit("the samples have not one Timeout")
        text = "ServerlessMaxRequests Off\nServerlessMaxRequestsPerAccount Off\n" + text
    return text


def make_certificate():
    subprocess.run(["openssl", "req", "-x509", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", str(HOME / "server.key"), "-out",
                    str(HOME / "server.pem")], check=True, stderr=subprocess.DEVNULL)


class Server:
    """httpd with the shipped configuration of a version. It ends with the block of "with"."""

    def __init__(self, cluster, version, has_limits=True, pool=8):
        self.port = free_port()
        modules = apxs("LIBEXECDIR")
        lines = [f'Define PORT {self.port}', f'Define APACHE_LOG_DIR "{HOME}"', DEBIAN.format(modules=modules)]
        lines += [f'LoadModule {name}_module "{modules}/mod_{name}.so"' for name in LOADED]
        lines += [f'LoadModule serverless_functions_module "{version.module}"',
                  f'ServerRoot "{HOME}"', f'DefaultRuntimeDir "{HOME}"', f'PidFile "{HOME}/httpd.pid"',
                  f'ErrorLog "{HOME}/error_log"', "ServerName 127.0.0.1", f"Listen 127.0.0.1:{self.port}",
                  "User www-data", "Group www-data", sample(cluster, version, has_limits, pool)]
        (HOME / "httpd.conf").write_text("\n".join(lines) + "\n")
        program = f"{apxs('SBINDIR')}/{apxs('PROGNAME')}"
        self.process = subprocess.Popen([program, "-DFOREGROUND", "-f", str(HOME / "httpd.conf")],
                                        start_new_session=True)

    def __enter__(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self.stop()
        raise SystemExit(f"httpd did not start; its log is {HOME}/error_log")

    def __exit__(self, *error):
        self.stop()

    def memory(self):
        """The bytes of memory of the children's own."""
        return 1024 * sum(int(child.get("RssAnon", 0)) for child in children_of(self.process.pid))

    def stop(self):
        """Ends httpd; at once where requests of the attack keep it longer than two seconds."""
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
