"""PostgreSQL and Patroni of this pod, by their programs and ports: what a member of the database has them do."""

import base64
import http.client
import os
import shutil
import subprocess
import sys
from pathlib import Path

DATA = Path("/pgdata/data")
RUN = Path("/run/postgresql")
CONFIG = Path("/etc/rtx-postgres")
DATABASE = "trading_engine"
PATRONI_PORT = 8008
QUERY_TIMEOUT_SECONDS = 10.0  # of another server, which may be lost while it is asked
WORK_TIMEOUT_SECONDS = 600.0  # of this pod's own server or programs: an update of the extension takes long
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
HAS_SEGMENT = """
SELECT bool_or((pg_stat_file('pg_wal/' || timeline || substr(:'segment', 9), true)).size IS NOT NULL)
FROM (VALUES (left(:'segment', 8)), (left(pg_walfile_name(pg_current_wal_lsn()), 8))) AS log (timeline);
"""


def has_data() -> bool:
    """Whether the volume has a database."""
    return DATA.exists()


def initialise() -> None:
    """An empty database. The rename makes it whole: a killed pod leaves no half of one."""
    new = DATA.with_name("new")
    shutil.rmtree(new, ignore_errors=True)
    options = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"]
    access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
    subprocess.run(["initdb", f"--pgdata={new}", *options, *access], check=True, timeout=WORK_TIMEOUT_SECONDS)
    # Patroni logs in with this role before the server is the primary, which makes the others.
    password = os.environ["DB_REPLICATION_PASSWORD"].replace("'", "''")
    role = f"CREATE ROLE rtx_replicator LOGIN REPLICATION PASSWORD '{password}'\n"
    alone = ["postgres", "--single", "-D", str(new), "-c", "log_min_error_statement=panic", "postgres"]
    quiet = subprocess.DEVNULL
    subprocess.run(alone, input=role, text=True, check=True, stdout=quiet, timeout=WORK_TIMEOUT_SECONDS)
    new.rename(DATA)
    os.sync()


def set_roles() -> bool:
    """The extension has a session per statement: if this image lacks the library of the TimescaleDB version on the
    volume, only the first statement of a session can update it.
    """
    extension = ("CREATE EXTENSION IF NOT EXISTS timescaledb", "ALTER EXTENSION timescaledb UPDATE")
    return _psql("postgres", f"--file={CONFIG / 'roles.sql'}") and all(
        _psql(DATABASE, f"--command={statement}") for statement in extension
    )


def admit_clients() -> bool:
    """pg_hba.conf includes this file, which is empty until now."""
    unfinished = RUN / "clients.conf.new"
    shutil.copyfile(CONFIG / "clients.conf", unfinished)
    unfinished.rename(RUN / "clients.conf")
    return _psql("postgres", "--command=SELECT pg_reload_conf()")


def _psql(database: str, *arguments: str) -> bool:
    """As the superuser, by the socket. Waits for no standby: without one, no commit would end."""
    address = [f"--host={RUN}", "--username=postgres", f"--dbname={database}", "--output=/dev/null"]
    settings = "-c client_min_messages=warning -c synchronous_commit=local -c statement_timeout=0"
    environment = {**os.environ, "PGOPTIONS": settings, "PGCONNECT_TIMEOUT": "5"}
    return _run([*PSQL, *address, *arguments], environment, WORK_TIMEOUT_SECONDS) is not None


def has_segment(address: str, segment: str) -> bool | None:
    """Whether the primary has this part of the log, of that timeline or of its own; None: it does not answer."""
    host = [f"--host={address}", "--username=rtx_replicator", "--dbname=postgres", f"--set=segment={segment}"]
    environment = {**os.environ, "PGPASSWORD": os.environ["DB_REPLICATION_PASSWORD"], "PGCONNECT_TIMEOUT": "5"}
    answer = _run([*PSQL, *host], environment, QUERY_TIMEOUT_SECONDS, stdin=HAS_SEGMENT)
    return {"t": True, "f": False}.get(answer.strip()) if answer is not None else None


def _run(command: list[str], environment: dict[str, str], seconds: float, stdin: str = "") -> str | None:
    """What the program writes; None if it failed, or took longer."""
    try:
        done = subprocess.run(
            command, env=environment, check=False, stdout=subprocess.PIPE, input=stdin, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def reinitialise() -> None:
    """Has Patroni take the data away, and copy those of the primary."""
    login = base64.b64encode(f"patroni:{os.environ['RESTAPI_PASSWORD']}".encode()).decode()
    connection = http.client.HTTPConnection("localhost", PATRONI_PORT, timeout=5)
    connection.request("POST", "/reinitialize", "{}", {"Authorization": f"Basic {login}"})
    response = connection.getresponse()
    print(f"Patroni answers {response.status}: {response.read().decode()}", file=sys.stderr, flush=True)
    connection.close()
