"""An engine and one load on it, which test after test uses.

Law: what one test breaks never reaches the next. After each test the testbed is inspected; one whose test failed, or
that is not as it was found, is replaced, and a test that leaves damage behind fails by its own name.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from loads import Load, load
from operators import armed, disarm
from rtx_demo import database, installation
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from upgrades import Upgrades, upgradable

SETTLE_DEADLINE = 60.0
QUIET_SECONDS = 2.2  # of the load without a failure: its pods report each second
KEPT_FIELDS = ("scaling", "rollout", "paused", "database", "cache", "deletionPolicy")  # of spec, which tests put back
# What a drill may change in the database, a line each.
DRILLED = """
SELECT format('role %s may open %s connections', rolname, rolconnlimit) FROM pg_roles WHERE rolname LIKE 'rtx%'
UNION ALL SELECT format('trigger %s of %s is off', tgname, tgrelid::regclass) FROM pg_trigger
WHERE tgname = 'execution_fence' AND tgenabled <> 'O'
UNION ALL SELECT format('event trigger %s', evtname) FROM pg_event_trigger WHERE evtname LIKE 'drill%'
UNION ALL SELECT 'a drill holds a transaction open' FROM pg_stat_activity WHERE application_name = 'drill';
"""


@dataclass
class Testbed:
    """Makes the engine and the load when they are first asked for."""

    __test__ = False  # its name begins as pytest's classes do

    sample: Sample
    _held: ExitStack = field(default_factory=ExitStack)
    _upgrades: Upgrades | None = None
    _loaded: Load | None = None
    _found: Object = field(default_factory=dict)  # what a test must leave as it is

    def upgrades(self) -> Upgrades:
        """The engine, at rest."""
        if self._upgrades is None:
            upgrades = Upgrades(self._held.enter_context(upgradable(self.sample)))
            self._found = self._state(upgrades)
            self._upgrades = upgrades
        return self._upgrades

    def loaded(self) -> Load:
        """The load, sending."""
        if self._loaded and self._loaded.ledger:
            self.end_load()
        if self._loaded is None:
            self._loaded = self._held.enter_context(load(self.upgrades().engine))
        return self._loaded

    @property
    def running(self) -> tuple[Upgrades | None, Load | None]:
        """What there is by now."""
        return self._upgrades, self._loaded

    def damage(self) -> str:
        """What is not as it was found, in a sentence; empty when nothing is."""
        if self._upgrades is None:
            return ""
        try:
            self._upgrades.settle(deadline=SETTLE_DEADLINE)
            installation.wait_until_running(self.sample.kubectl)
            state = self._state(self._upgrades)
            changed = [f"{name} is {value}" for name, value in state.items() if value != self._found[name]]
            changed += [f"the operator in {pod} ends {moment}" for pod, moment in armed(self.sample.kubectl).items()]
            return "; ".join(changed) or self._failing()
        except DemoError as error:
            return str(error)

    def discard(self) -> None:
        """Let it go; the next test gets another."""
        held, self._held = self._held, ExitStack()
        self._upgrades, self._loaded = None, None
        with held:
            disarm(self.sample.kubectl)

    def end_load(self) -> None:
        """Let the load go, and keep the engine."""
        if self._loaded:
            self._loaded.watch.close()
            self._loaded.traffic.remove()
            self._loaded = None

    def _failing(self) -> str:
        if self._loaded is None or self._loaded.ledger is not None:
            return ""
        before = self._loaded.failed()
        time.sleep(QUIET_SECONDS)
        after = self._loaded.failed()
        return f"{after - before} requests failed in the {QUIET_SECONDS} s after the test" if after > before else ""

    @staticmethod
    def _state(upgrades: Upgrades) -> Object:
        spec = upgrades.engine.read()["spec"]
        drilled = set(database.psql(upgrades.engine, DRILLED).splitlines())
        return {**{f"spec.{name}": spec.get(name) for name in KEPT_FIELDS}, "what drills change": drilled}
