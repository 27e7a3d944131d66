"""An engine and one load on it, which tests use one after the other.

Law: what one test breaks never reaches the next. The testbed is inspected after each test. It is replaced when the
test failed or left damage behind; damage also fails the test that left it.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from loads import Load, running_load
from operators import armed_crashes, disarm_crashes
from rtx_demo import database, installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from upgrades import Upgrades, upgradable

RECONCILED_DEADLINE_SECONDS = 60.0
QUIET_SECONDS = 2.2  # without a failed request: the load's pods report each second
RESET_FIELDS = ("scaling", "rollout", "paused", "database", "cache", "deletionPolicy")  # of spec; tests reset them
# What tests may have changed in the database, a line each.
DATABASE_CHANGES_SQL = """
SELECT format('role %s may open %s connections', rolname, rolconnlimit) FROM pg_roles WHERE rolname LIKE 'rtx%'
UNION ALL SELECT format('trigger %s of %s is off', tgname, tgrelid::regclass) FROM pg_trigger
WHERE tgname = 'execution_fence' AND tgenabled <> 'O'
UNION ALL SELECT format('event trigger %s', evtname) FROM pg_event_trigger WHERE evtname LIKE 'drill%'
UNION ALL SELECT 'a drill holds a transaction open' FROM pg_stat_activity WHERE application_name = 'drill';
"""


@dataclass
class Testbed:
    """Makes the engine and the load when a test first needs them."""

    __test__ = False  # pytest collects classes whose name begins with Test

    sample: Sample
    _held: ExitStack = field(default_factory=ExitStack)
    _upgrades: Upgrades | None = None
    _loaded: Load | None = None
    _initial_state: Object = field(default_factory=dict)  # that each test must leave as it was

    def upgrades(self) -> Upgrades:
        """The engine, reconciled."""
        if self._upgrades is None:
            upgrades = Upgrades(self._held.enter_context(upgradable(self.sample)))
            self._initial_state = self._state(upgrades)
            self._upgrades = upgrades
        return self._upgrades

    def loaded(self) -> Load:
        """The load, sending."""
        if self._loaded and self._loaded.ledger:
            self.end_load()
        if self._loaded is None:
            self._loaded = self._held.enter_context(running_load(self.upgrades().engine))
        return self._loaded

    @property
    def running(self) -> tuple[Upgrades | None, Load | None]:
        """The engine and the load; None for what no test has needed yet."""
        return self._upgrades, self._loaded

    def damage(self) -> str:
        """What the test changed and did not change back, in a sentence; empty when there is nothing."""
        if self._upgrades is None:
            return ""
        try:
            self._upgrades.wait_until_reconciled(deadline=RECONCILED_DEADLINE_SECONDS)
            installation.wait_until_running(self.sample.kubectl)
            state = self._state(self._upgrades)
            changed = [f"{name}: {value}" for name, value in state.items() if value != self._initial_state[name]]
            armed = armed_crashes(self.sample.kubectl)
            changed += [f"the operator in {pod} still ends {moment}" for pod, moment in armed.items()]
            return "; ".join(changed) or self._failing_load()
        except DemoError as error:
            return str(error)

    def discard(self) -> None:
        """Remove the engine and the load; the next test gets new ones."""
        held, self._held = self._held, ExitStack()
        self._upgrades, self._loaded = None, None
        with held:
            disarm_crashes(self.sample.kubectl)

    def end_load(self) -> None:
        """Remove the load and keep the engine."""
        if self._loaded:
            self._loaded.watch.close()
            self._loaded.traffic.remove()
            self._loaded = None

    def _failing_load(self) -> str:
        if self._loaded is None or self._loaded.ledger is not None:
            return ""
        before = self._loaded.failed_requests()
        time.sleep(QUIET_SECONDS)
        after = self._loaded.failed_requests()
        return f"{after - before} requests failed in the {QUIET_SECONDS} s after the test" if after > before else ""

    @staticmethod
    def _state(upgrades: Upgrades) -> Object:
        spec = upgrades.engine.read()["spec"]
        changes = set(database.psql(upgrades.engine, DATABASE_CHANGES_SQL).splitlines())
        return {**{f"spec.{name}": spec.get(name) for name in RESET_FIELDS}, "changes in the database": changes}
