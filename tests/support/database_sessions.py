"""Database sessions that block others: they keep a transaction open and idle, as a frozen client does."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rtx_demo import database, members
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError

LOCK_FENCE_SQL = "SELECT epoch FROM rtx_operator.execution_fence FOR SHARE;"
DEADLINE_SECONDS = 20.0
POLL_INTERVAL_SECONDS = 0.2
# The address tells our sessions from the engine's: those use the colour as application name, too.
_OURS = "FROM pg_stat_activity WHERE application_name = :'name' AND coalesce(client_addr, '127.0.0.1') = '127.0.0.1'"
_SUPERUSER = f"host=/run/postgresql user=postgres dbname={database.NAME}"
_ENGINE = f"host=127.0.0.1 user=rtx_engine dbname={database.NAME}"
_IDLE = f"SELECT count(*) {_OURS} AND state LIKE 'idle in trans%';"
_END = f"SELECT pg_terminate_backend(pid) {_OURS};"


@contextmanager
def open_transaction(
    engine: Engine, statement: str, *, name: str = "drill", connection: str = _SUPERUSER
) -> Iterator[Callable[[], bool]]:
    """Inside the block, a session has run `statement` and keeps its transaction open and idle.

    Yields a function that returns whether that session still exists.
    """
    host = members.primary(engine).name
    psql = f"psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 '{connection} application_name={name}'"
    command = ["exec", "-i", host, "--namespace", engine.namespace, "--container=postgres", "--"]
    command += ["sh", "-c", f'PGPASSWORD="$DB_PASSWORD" exec {psql}']
    process = subprocess.Popen(
        [*engine.kubectl.program, *command],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin
    try:
        process.stdin.write(f"BEGIN; {statement}\n")
        process.stdin.flush()
        _wait_until_idle(engine, name)
        yield lambda: _only_waits(engine, name)
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):  # the client ended before it read all of its input
            process.stdin.close()
        # PostgreSQL notices only later that its client is gone.
        database.psql(engine, _END, name=name)


@contextmanager
def locked_fence(engine: Engine, *, name: str = "drill") -> Iterator[None]:
    """Inside the block the fence cannot move, unless somebody ends the session called `name`."""
    with open_transaction(engine, LOCK_FENCE_SQL, name=name):
        yield


@contextmanager
def frozen_executor(engine: Engine, colour: str) -> Iterator[Callable[[], bool]]:
    """Inside the block a session of `colour` has stopped in the middle of an order; PostgreSQL's timeout is off for it.

    Yields a function that returns whether that session still exists.
    """
    statement = f"""
        SET idle_in_transaction_session_timeout = 0;
        SELECT set_config('rtx.colour', '{colour}', false), set_config('rtx.epoch', epoch::text, false),
            set_config('rtx.revision', coalesce(revisions[1], ''), false)
        FROM rtx_operator.execution_fence;
        SELECT rtx_operator.assert_executor();
    """  # noqa: S608  # a colour
    with open_transaction(engine, statement, name=colour, connection=_ENGINE) as is_open:
        yield is_open


def _wait_until_idle(engine: Engine, name: str) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not _only_waits(engine, name):
        if time.monotonic() > until:
            raise DemoError(f"Session {name} has no open, idle transaction after {DEADLINE_SECONDS:.0f} s.")
        time.sleep(POLL_INTERVAL_SECONDS)


def _only_waits(engine: Engine, name: str) -> bool:
    return database.psql(engine, _IDLE, name=name).strip() != "0"
