"""The databases: a private PostgreSQL under build/bench, filled once per checkout.

Each run works on fresh copies, so that it begins as every other did."""

import hashlib
import os
import pathlib
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
HOME = SOURCE / "build" / "bench"
CLUSTER = HOME / "postgresql"

# Functions: Services. A fifth of the Functions is in the first Service.
SIZES = {1_000: 2, 10_000: 10, 100_000: 100, 1_000_000: 1_000}
MAIN = 1_000_000

# Durable commits, as by default. What PostgreSQL does by itself from time to time is left to the
# moments between measurements: nothing of it is due while one runs.
OPTIONS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_connections": "200",
}


def run(*command, **kwargs):
    return subprocess.run([str(part) for part in command], check=True, text=True, **kwargs)


def start():
    """Starts the cluster with its settings, whoever left it running with others."""
    CLUSTER.mkdir(parents=True, exist_ok=True)
    stop()
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    run(SOURCE / "tools" / "cluster", "start", CLUSTER, *options)


def stop():
    run(SOURCE / "tools" / "cluster", "stop", CLUSTER)


def socket():
    return (CLUSTER / "socket").read_text().strip()


def postmaster():
    return int((CLUSTER / "data" / "postmaster.pid").read_text().split()[0])


def psql(database, sql=None, script=None, **variables):
    """Runs SQL or a script as a superuser; returns the rows as lists of text."""
    quiet = dict(os.environ, PGOPTIONS="-c client_min_messages=warning")
    command = ["psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1",
               "-h", socket(), "-U", "postgres", "-d", database]
    for name, value in variables.items():
        command += ["-v", f"{name}={value}"]
    command += ["-f", str(script)] if script else ["-c", sql]
    out = run(*command, stdout=subprocess.PIPE, env=quiet).stdout
    return [line.split("\t") for line in out.splitlines()]


def name_of(functions):
    return f"functions_{functions}"


# Filling -----------------------------------------------------------------------------------------


def fingerprint():
    """Of everything that decides what is in the databases."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCE.glob("sql/schema/*.sql"), SOURCE / "bench" / "sql" / "fill.sql"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_done(mark):
    return mark.exists() and mark.read_text() == fingerprint()


def make_base():
    """Makes the database with the schema and one account, of which all others are copies, unless that was
    done before."""
    mark = HOME / "base"
    if is_done(mark):
        return
    for stale in (mark, HOME / "filled"):
        stale.unlink(missing_ok=True)
    create_base()
    mark.write_text(fingerprint())


def fill():
    """Fills the databases that the copies are made of, unless that was done before."""
    make_base()
    mark = HOME / "filled"
    if is_done(mark):
        return
    print("Filling the databases (once per checkout)", flush=True)
    began = time.monotonic()
    for functions, services in SIZES.items():
        copy("base", "filled_" + name_of(functions))
        psql("filled_" + name_of(functions), script=SOURCE / "bench" / "sql" / "fill.sql",
             functions=functions, services=services)
    mark.write_text(fingerprint())
    print(f"Filled in {time.monotonic() - began:.0f} s", flush=True)


def create_base():
    admin = [SOURCE / "bin" / "serverless-admin", "-d",
             f"host={socket()} dbname=base user=serverless_owner"]
    psql("postgres", "DROP DATABASE IF EXISTS base")
    psql("postgres", "CREATE DATABASE base OWNER serverless_owner TEMPLATE template0 ENCODING 'UTF8'")
    run(*admin, "schema", "apply", stdout=subprocess.DEVNULL)
    run(*admin, "grant", "serverless_httpd")
    account = run(*admin, "account", "create", "bench", stdout=subprocess.PIPE).stdout
    (HOME / "credentials").write_text(account)


def copy(template, database):
    psql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    psql("postgres", f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")


def make_copies():
    """The databases of this run, all of them in memory."""
    for functions in SIZES:
        copy("filled_" + name_of(functions), name_of(functions))
    copy("filled_" + name_of(MAIN), "open")
    psql("open", script=SOURCE / "bench" / "sql" / "open.sql")
    for database in ("open", *map(name_of, SIZES)):
        psql(database, script=SOURCE / "bench" / "sql" / "warm.sql")


def credentials():
    """The account's SID and its auth token."""
    pairs = (line.split("=", 1) for line in (HOME / "credentials").read_text().split())
    values = dict(pairs)
    return values["ACCOUNT_SID"], values["AUTH_TOKEN"]


# Between measurements ----------------------------------------------------------------------------

LAST_FILLED = "2026-06-01Z"  # later than all of the filling, earlier than any run


def add_functions(database, count):
    """Functions to be deleted, spread over the Services; returns Service and key of each."""
    return psql(database, f"""
        INSERT INTO bench.functions (service_id, id, friendly_name, date_created, date_updated)
        SELECT s.id, bench.identity(now(), f.number), 'To be deleted', now(), now()
          FROM generate_series(1, {count}) AS f (number)
          JOIN bench.services AS s
            ON s.number = 1 + f.number % (SELECT count(*) FROM bench.services)
        RETURNING replace(service_id::text, '-', ''), replace(id::text, '-', '')""")


def remove_added(database):
    """Undoes what writing added, and lets no dead rows pile up."""
    psql(database, f"DELETE FROM bench.functions WHERE date_created > '{LAST_FILLED}'")
    psql(database, "VACUUM")


def checkpoint():
    psql("postgres", "CHECKPOINT")
