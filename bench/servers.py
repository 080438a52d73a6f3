"""The servers that are measured: httpd with the module, and the peers."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import data

MPM = "worker"  # unless a row says another one
THREADS = 72  # of the httpd child: more than the connections of any load
SDK = data.SOURCE / "build" / "sdk" / "node_modules"
WORKERS = 2  # of each peer, as many as this is meant to have processors


class Server:
    """A process, what it started, and the ports that it answers on."""

    def __init__(self, process, log):
        self.process = process
        self.log = log
        self.behind = None  # the process id of the runner, or of the server behind a proxy

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, port):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"a server did not start; its log is {self.log}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def free_ports(count):
    """Ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


# httpd -------------------------------------------------------------------------------------------


def apxs(name):
    return subprocess.run([os.environ.get("APXS", "apxs"), "-q", name], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def start_httpd(name, module, hosts, settings=(), mpm=MPM):
    """hosts: lines for httpd.conf that use its macros; settings: other lines for the whole server."""
    run_dir = data.HOME / name
    run_dir.mkdir(exist_ok=True)
    (run_dir / "error_log").unlink(missing_ok=True)
    definitions = {
        "MPM": mpm,
        "MODULES": apxs("LIBEXECDIR"),
        "MODULE": pathlib.Path(module).resolve(),
        "LIMIT": data.HOME / "mod_bench_limit.so",
        "RUN_DIR": run_dir,
        "DATABASE": data.socket(),
        "THREADS": THREADS,
    }
    lines = [f'Define {key} "{value}"' for key, value in definitions.items()]
    lines.append(f'Include "{data.SOURCE / "bench" / "httpd.conf"}"')
    (run_dir / "httpd.conf").write_text("\n".join([*lines, *settings, *hosts]) + "\n")
    program = f"{apxs('SBINDIR')}/{apxs('PROGNAME')}"
    # prefork ends its whole process group
    process = subprocess.Popen([program, "-DFOREGROUND", "-f", str(run_dir / "httpd.conf")],
                               start_new_session=True)
    return Server(process, run_dir / "error_log")


# nginx -------------------------------------------------------------------------------------------

NGINX = """
daemon off;
master_process on;
worker_processes {workers};
pid "{run_dir}/nginx.pid";
error_log "{run_dir}/error_log" warn;
user www-data;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path "{run_dir}/body";
    proxy_temp_path "{run_dir}/proxy";
    fastcgi_temp_path "{run_dir}/fastcgi";
    uwsgi_temp_path "{run_dir}/uwsgi";
    scgi_temp_path "{run_dir}/scgi";
    server {{
        listen 127.0.0.1:{port};
        root "{files}";
    }}
}}
"""


def start_nginx(port, files):
    """nginx with as many processes as there are processors. files: the folder of what it serves."""
    run_dir = data.HOME / "nginx"
    run_dir.mkdir(exist_ok=True)
    (run_dir / "error_log").unlink(missing_ok=True)
    (run_dir / "nginx.conf").write_text(NGINX.format(workers=WORKERS, run_dir=run_dir, port=port, files=files))
    process = subprocess.Popen(["nginx", "-e", str(run_dir / "error_log"), "-c", str(run_dir / "nginx.conf")])
    return Server(process, run_dir / "error_log")


# Peers -------------------------------------------------------------------------------------------


def node(runtime=None):
    """The one that the peers bring along, or the machine's own. For the Runtime node20, the one of the tests."""
    packages = SDK if runtime == "node20" else data.HOME / "peers" / "node_modules"
    found = list(packages.glob("node-linux-*/bin/node"))
    return str(found[0]) if found else shutil.which("node")


def start_script(name, *command, folder=None):
    """A program for node, with the packages of the tests."""
    log = data.HOME / f"{name}.log"
    environment = dict(os.environ, NODE_ENV="production", NODE_PATH=str(SDK))
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen([node(), *map(str, command)], cwd=folder, env=environment, stdout=out, stderr=out,
                                   stdin=subprocess.DEVNULL)
    return Server(process, log)


def start_peer(kind, port, pool):
    """kind: pg or postgres; pool: connections of each worker."""
    log = data.HOME / f"peer_{kind}_{pool}.log"
    (key,), = data.psql(data.name_of(data.MAIN),
                        "SELECT encode(page_token_key, 'hex') FROM serverless.settings")
    database = f"postgres://serverless_httpd@peer/{data.name_of(data.MAIN)}?host={data.socket()}"
    environment = dict(os.environ, NODE_ENV="production", PORT=str(port), POOL=str(pool),
                       WORKERS=str(WORKERS), DATABASE=database,
                       ACCOUNT_SID=data.credentials()[0], PAGE_TOKEN_KEY=key,
                       NODE_PATH=str(data.HOME / "peers" / "node_modules"))
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen([node(), data.SOURCE / "bench" / "peers" / "main.js", kind],
                                   env=environment, stdout=out, stderr=out)
    return Server(process, log)
