"""Sessions in an engine's database that are in somebody's way: they hold what others need, as a frozen client would."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError

SHARE_OF_THE_FENCE = "SELECT epoch FROM rtx_operator.execution_fence FOR SHARE;"
DEADLINE = 20.0
# An engine's own sessions bear its colour's name, too, but come from other pods.
_OURS = "FROM pg_stat_activity WHERE application_name = :'name' AND coalesce(client_addr, '127.0.0.1') = '127.0.0.1'"
_SUPERUSER = f"host=/run/postgresql user=postgres dbname={database.NAME}"
_ENGINE = f"host=127.0.0.1 user=rtx_engine dbname={database.NAME}"
_IDLE = f"SELECT count(*) {_OURS} AND state LIKE 'idle in trans%';"
_END = f"SELECT pg_terminate_backend(pid) {_OURS};"


@contextmanager
def session(
    engine: Engine, statement: str, *, name: str = "drill", connection: str = _SUPERUSER
) -> Iterator[Callable[[], bool]]:
    """A session in which `statement` has run and whose transaction stays open, idle, inside the block.

    Gives what tells whether it is still there.
    """
    host = f"{engine.name}-postgres-0"
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
        yield lambda: _is_idle(engine, name)
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):  # what it did not read any more
            process.stdin.close()
        # What the client leaves behind does not end with it at once.
        database.psql(engine, _END, name=name)


@contextmanager
def held_fence(engine: Engine, *, name: str = "drill") -> Iterator[None]:
    """The fence cannot be moved inside the block, or not before the session called `name` is ended."""
    with session(engine, SHARE_OF_THE_FENCE, name=name):
        yield


@contextmanager
def frozen_executor(engine: Engine, colour: str) -> Iterator[Callable[[], bool]]:
    """A session of an engine pod stops in the middle of an order, and PostgreSQL's own time-out does not end it."""
    statement = f"""
        SET idle_in_transaction_session_timeout = 0;
        SELECT set_config('rtx.colour', '{colour}', false), set_config('rtx.epoch', epoch::text, false)
        FROM rtx_operator.execution_fence;
        SELECT rtx_operator.assert_executor();
    """  # noqa: S608  # a colour
    with session(engine, statement, name=colour, connection=_ENGINE) as lives:
        yield lives


def _wait_until_idle(engine: Engine, name: str) -> None:
    until = time.monotonic() + DEADLINE
    while not _is_idle(engine, name):
        if time.monotonic() > until:
            raise DemoError(f"Session {name} did not come to hold what it should within {DEADLINE:.0f} s.")
        time.sleep(0.2)


def _is_idle(engine: Engine, name: str) -> bool:
    return database.psql(engine, _IDLE, name=name).strip() != "0"
