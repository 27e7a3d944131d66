"""Asks for restores of an engine's database, and waits for what becomes of them."""

from rtx_demo import database
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_demo.waiting import eventually
from rtx_operator.api.enums import BackupPhase, RestorePhase

DEADLINE_SECONDS = 300.0
COUNT_SQL = "SELECT count(*) FROM orders;"
NOW_SQL = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"');"


def ask(engine: Engine, name: str, **source: object) -> None:
    """Create a TradingEngineRestore."""
    engine.kubectl.apply(
        {
            "apiVersion": "rtx-trading.com/v1alpha1",
            "kind": "TradingEngineRestore",
            "metadata": {"name": name, "namespace": engine.namespace},
            "spec": {"engine": engine.name, "source": source},
        }
    )


def ended(engine: Engine, name: str) -> Object:
    """Its status, once it is over."""
    over = {phase.value for phase in RestorePhase if phase.is_terminal}
    eventually(lambda: status(engine, name).get("phase") in over, f"restore {name} to end", deadline=DEADLINE_SECONDS)
    return status(engine, name)


def status(engine: Engine, name: str) -> Object:
    found = engine.kubectl.get("ter", name, engine.namespace) or {}
    return dict(found.get("status") or {})


def confirm(engine: Engine, name: str) -> None:
    """The restored data are what was wanted."""
    change = '{"spec": {"confirm": true}}'
    engine.kubectl.run("patch", "ter", name, "--namespace", engine.namespace, "--type=merge", f"--patch={change}")


def back_up(engine: Engine, name: str) -> Object:
    """Make a backup; what it made."""
    engine.kubectl.apply(
        {
            "apiVersion": "rtx-trading.com/v1alpha1",
            "kind": "TradingEngineBackup",
            "metadata": {"name": name, "namespace": engine.namespace},
            "spec": {"engine": engine.name},
        }
    )

    def made() -> Object:
        found = engine.kubectl.get("teb", name, engine.namespace) or {}
        return dict(found.get("status") or {})

    eventually(lambda: made().get("phase") == BackupPhase.SUCCEEDED, f"backup {name}", deadline=DEADLINE_SECONDS)
    return dict(made()["made"])


def orders(engine: Engine) -> int:
    return int(database.psql(engine, COUNT_SQL))


def moment(engine: Engine) -> str:
    """A moment after all that was committed, and before what comes next, by the database's clock."""
    return database.psql(engine, NOW_SQL).strip()
