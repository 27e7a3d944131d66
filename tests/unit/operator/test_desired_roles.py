"""database/roles.sql on a real PostgreSQL: passwords and rights of each role."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from free_ports import free_port

ROLES = Path(__file__).parents[3] / "database/roles.sql"
DEADLINE = 30.0  # seconds, for each program
PASSWORDS = {
    "DB_SUPERUSER_PASSWORD": "super-user-password",
    "DB_OPERATOR_PASSWORD": 'it\'s "one" \\ of $1 those %s',
    "DB_MIGRATOR_PASSWORD": "migrator-password",
    "DB_REPLICATION_PASSWORD": "replication-password",
    "DB_PASSWORD": "ключ 🗝 :'engine_password'",
}
PASSWORD_OF = {
    "postgres": "DB_SUPERUSER_PASSWORD",
    "rtx_operator": "DB_OPERATOR_PASSWORD",
    "rtx_migrator": "DB_MIGRATOR_PASSWORD",
    "rtx_engine": "DB_PASSWORD",
}


@dataclass(frozen=True)
class Server:
    binaries: Path
    folder: Path
    port: int

    def set_up(self, passwords: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return self._psql(["--file", str(ROLES)], self.folder, "postgres", "postgres", passwords)

    def query(self, role: str, password: str, sql: str) -> subprocess.CompletedProcess[str]:
        return self._psql(["--command", sql], Path("127.0.0.1"), role, "trading_engine", {"PGPASSWORD": password})

    def _psql(
        self, arguments: list[str], host: Path, role: str, database: str, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--no-password"]
        address = [f"--host={host}", f"--port={self.port}", f"--username={role}", f"--dbname={database}"]
        return subprocess.run(
            [self.binaries / "psql", *options, *address, *arguments],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's: each run of pytest on this machine closes the folder above all of them to other users."""
    with tempfile.TemporaryDirectory(prefix="rtx-roles-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    binaries = found[-1].parent
    port = free_port()
    unprivileged = _unprivileged(folder)
    data, log = folder / "data", folder / "log"

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*unprivileged, binaries / program, *arguments], check=True, timeout=DEADLINE, cwd=folder)

    run("initdb", f"--pgdata={data}", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-N")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", f"--pgdata={data}", "--wait", "--silent", f"--log={log}", f"--options={options}", "start")
    try:
        yield Server(binaries, folder, port)
    finally:
        run("pg_ctl", f"--pgdata={data}", "--wait", "--silent", "--mode=immediate", "stop")


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


@pytest.fixture
def engine_database(server: Server) -> Server:
    done = server.set_up(PASSWORDS)
    assert done.returncode == 0, done.stderr
    return server


@pytest.mark.parametrize("role", ["rtx_operator", "rtx_migrator", "rtx_engine"])
def test_role_logs_in_with_its_password_and_no_other(engine_database: Server, role: str) -> None:
    password = PASSWORDS[PASSWORD_OF[role]]
    assert engine_database.query(role, password, "SELECT current_user").stdout.strip() == role
    assert "authentication failed" in engine_database.query(role, f"{password} ", "SELECT 1").stderr


def test_new_passwords_are_set_at_the_next_start(engine_database: Server) -> None:
    # Given a database with data, and a changed Secret
    migrator = PASSWORDS["DB_MIGRATOR_PASSWORD"]
    made = engine_database.query("rtx_migrator", migrator, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    assert made.returncode == 0, made.stderr
    # When the server starts again
    assert engine_database.set_up({**PASSWORDS, "DB_MIGRATOR_PASSWORD": "another"}).returncode == 0
    # Then only the new password is accepted, and the data is there
    assert engine_database.query("rtx_migrator", "another", "SELECT id FROM kept").stdout.strip() == "7"
    assert engine_database.query("rtx_migrator", migrator, "SELECT 1").returncode != 0
    engine_database.query("rtx_migrator", "another", "DROP TABLE kept")


@pytest.mark.parametrize(
    ("role", "sql", "allowed"),
    [
        ("rtx_migrator", "CREATE TABLE t (id int); DROP TABLE t", True),
        ("rtx_operator", "CREATE SCHEMA fence; DROP SCHEMA fence", True),
        ("rtx_operator", "CREATE TABLE public.t (id int)", False),
        ("rtx_engine", "CREATE TABLE public.t (id int)", False),
        ("rtx_engine", "CREATE SCHEMA mine", False),
        ("rtx_engine", "CREATE TEMPORARY TABLE t (id int)", False),
        ("rtx_engine", "ALTER ROLE rtx_engine CONNECTION LIMIT -1", False),
    ],
)
def test_each_role_has_the_rights_it_needs_and_no_more(
    engine_database: Server, role: str, sql: str, *, allowed: bool
) -> None:
    result = engine_database.query(role, PASSWORDS[PASSWORD_OF[role]], sql)
    assert (result.returncode == 0) is allowed, result.stderr


def test_operator_sees_and_ends_sessions_of_the_engine(engine_database: Server) -> None:
    # Given a waiting session of the engine with its colour as application_name
    waiting = "SET application_name = 'blue'; SET statement_timeout = '20s'; SELECT pg_sleep(20)"
    environment = {"PGPASSWORD": PASSWORDS["DB_PASSWORD"], "PATH": os.environ["PATH"]}
    address = [f"--port={engine_database.port}", "--host=127.0.0.1", "--username=rtx_engine", "--dbname=trading_engine"]
    with subprocess.Popen(
        [engine_database.binaries / "psql", "--no-psqlrc", *address, "--command", waiting],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as session:
        # When the operator ends the sessions of that colour
        end = (
            "DO $$ BEGIN FOR attempt IN 1..200 LOOP EXIT WHEN (SELECT count(pg_terminate_backend(pid)) > 0 "
            "FROM pg_stat_activity WHERE application_name = 'blue' AND query LIKE '%pg_sleep%'); "
            "PERFORM pg_sleep(0.05), pg_stat_clear_snapshot(); END LOOP; END $$"
        )
        ended = engine_database.query("rtx_operator", PASSWORDS["DB_OPERATOR_PASSWORD"], end)
        # Then the session receives the reason
        assert ended.returncode == 0, ended.stderr
        _, output = session.communicate(timeout=DEADLINE)
    assert "terminating connection due to administrator command" in output


def test_frozen_engine_pod_cannot_hold_a_lock_for_long(engine_database: Server) -> None:
    shown = engine_database.query(
        "rtx_engine",
        PASSWORDS["DB_PASSWORD"],
        "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout'), "
        "current_setting('client_connection_check_interval')",
    )
    assert shown.stdout.strip() == "1s|2s|1s"


def test_no_password_reaches_the_log(engine_database: Server) -> None:
    # Given a server that logs every statement
    folder = engine_database.folder
    engine_database.query("postgres", PASSWORDS["DB_SUPERUSER_PASSWORD"], "ALTER SYSTEM SET log_statement = 'all'")
    engine_database.query("postgres", PASSWORDS["DB_SUPERUSER_PASSWORD"], "SELECT pg_reload_conf()")
    # When the passwords are set
    engine_database.set_up(PASSWORDS)
    # Then its log has other statements, but no password
    log = (folder / "log").read_text(encoding="utf-8")
    assert "REVOKE ALL ON DATABASE" in log
    assert not [password for password in PASSWORDS.values() if password in log]
