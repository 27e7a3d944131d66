"""A dump of the database is taken and restored under load, by the runbook's commands.

What was written between the dump and the restore is lost, and nothing else: no colour executes on the restored data
before they fit it, none at an epoch of before, and the engine goes on at the version in spec.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from documented_commands import DUMP, RESTORE, RUNBOOK, Block, shell_blocks
from loads import Load, assert_kept
from pasted_commands import Shell
from rtx_demo import database
from rtx_demo.engine import Condition
from rtx_demo.sample import Sample
from rtx_lab.provider import Provider
from rtx_operator.api.enums import ConditionStatus, ConditionType, Reason
from rtx_traffic import fenced
from rtx_traffic.ledger import Ledger
from rtx_traffic.rows import Database
from system_fixtures import StartLoad
from testbed import Testbed
from upgrades import NEW_VERSION, OLD_VERSION, Upgrades, assert_succeeded, new_revision, upgradable

POD_DEADLINE_SECONDS = 120
FOUND_DEADLINE_SECONDS = 90.0  # the runbook promises half a minute
LOAD_SECONDS = 4.0  # of orders between two steps
MIGRATED_SQL = "SELECT max(version) FROM schema_migrations WHERE half = 'expand';"
HISTORY_SQL = """
SELECT coalesce(json_agg(json_build_object('epoch', epoch, 'executors', executors) ORDER BY epoch), '[]')
FROM rtx_operator.execution_fence_history WHERE epoch > :known;
"""


@dataclass(frozen=True)
class Restored:
    """What was known before a restore, when it was made (Unix seconds), and what the operator said of it."""

    epoch: int  # of the fence in the database that was replaced
    dumped: float  # when the dump began
    exchanged: float  # when the restored database had taken the other's place
    found: Condition  # Ready, under the pause

    def is_lost(self, at: float) -> bool:
        """Whether an order that was acknowledged then may be gone."""
        return self.dumped <= at <= self.exchanged


@dataclass(frozen=True)
class Runbook:
    """The runbook's sections on dumps, pasted for one engine."""

    upgrades: Upgrades
    shell: Shell

    def dump(self) -> float:
        """Take a dump. Returns when that began (Unix seconds)."""
        began = time.time()
        [dump] = section(DUMP)
        self.shell.paste(dump)
        return began

    def restore(self, dumped: float, expected: Reason) -> Restored:
        """Restore the dump and wait until the engine is Ready; before it goes on, Ready has the `expected` reason."""
        stop, load, exchange, go_on = section(RESTORE)
        upgrades, engine = self.upgrades, self.upgrades.engine
        epoch = upgrades.fence()["epoch"]
        for block in (stop, load, exchange):
            self.shell.paste(block)
        exchanged = time.time()
        pod, where = f"pod/{engine.name}-postgres-0", ("--namespace", engine.namespace)
        # Its name may not be there for a moment: `kubectl wait` waits for the creation, too.
        for condition in ("create", "condition=Ready"):
            timeout = (f"--for={condition}", f"--timeout={POD_DEADLINE_SECONDS}s")
            engine.kubectl.run("wait", pod, *where, *timeout, deadline=POD_DEADLINE_SECONDS + 10)
        found = engine.wait_for(ConditionType.READY, expected, deadline=FOUND_DEADLINE_SECONDS)
        assert upgrades.fence()["executors"] == [], "a colour was named on the restored data, under the pause"
        self.shell.paste(go_on)
        return Restored(epoch, dumped, exchanged, found)


def section(heading: str) -> list[Block]:
    """The shell blocks of a section of the runbook."""
    return [block for block in shell_blocks(RUNBOOK) if block.heading == heading]


@pytest.fixture
def upgrades(sample: Sample, testbed: Testbed) -> Iterator[Upgrades]:
    """An engine of the test's own: a restore takes back what other tests rely on."""
    testbed.discard()
    with upgradable(sample) as engine:
        yield Upgrades(engine)


@pytest.fixture
def runbook(upgrades: Upgrades, local_cluster: Provider, tmp_path: Path) -> Runbook:
    assert upgrades.engine.name == "rtx", "the runbook's commands name the sample's engine"
    return Runbook(upgrades, Shell(local_cluster, tmp_path, upgrades.engine.namespace))


def test_dump_of_before_an_upgrade_is_migrated_and_the_new_version_goes_on(
    upgrades: Upgrades, runbook: Runbook, start_load: StartLoad
) -> None:
    with start_load(upgrades.engine) as loaded:
        # Given an engine of which a dump was taken at 1.0.0, and that was upgraded since, all under load.
        time.sleep(LOAD_SECONDS)
        dumped = runbook.dump()
        assert_succeeded(upgrades, upgrades.upgrade(NEW_VERSION))
        migrated = database.psql(upgrades.engine, MIGRATED_SQL)
        time.sleep(LOAD_SECONDS)

        # When the dump is restored.
        restored = runbook.restore(dumped, Reason.DATA_MISSING)
        assert_goes_on(upgrades, restored, NEW_VERSION)
        time.sleep(LOAD_SECONDS)

        # Then the operator has said what it found, and has migrated the data for the active version.
        assert restored.found.status == ConditionStatus.FALSE, f"Ready on earlier data: {restored.found}"
        assert "shows an earlier state of its data" in restored.found.message, f"not said: {restored.found}"
        assert f"after epoch {restored.epoch}" in restored.found.message, f"another epoch is named: {restored.found}"
        upgrades.wait(lambda status: "earlierData" not in status, "a status without earlierData")
        assert database.psql(upgrades.engine, MIGRATED_SQL) == migrated, "the data lack migrations of the version"

        # And nothing was executed twice, and nothing is lost but what was written since the dump.
        assert_only_that_is_lost(loaded, restored)

    # And another upgrade fails no request.
    assert_next_upgrade_is_kept(upgrades, start_load)


def test_dump_of_the_same_version_is_restored(upgrades: Upgrades, runbook: Runbook, start_load: StartLoad) -> None:
    with start_load(upgrades.engine) as loaded:
        # Given an engine of which a dump was taken, under load.
        time.sleep(LOAD_SECONDS)
        dumped = runbook.dump()
        time.sleep(LOAD_SECONDS)

        # When it is restored, without a move of the fence since.
        restored = runbook.restore(dumped, Reason.FENCE_MOVING)
        assert_goes_on(upgrades, restored, OLD_VERSION)
        time.sleep(LOAD_SECONDS)

        # Then these data were not taken for earlier ones, and nothing is lost but what was written since the dump.
        assert restored.found.status == ConditionStatus.FALSE, f"Ready although nobody executes: {restored.found}"
        assert "earlierData" not in upgrades.status(), "data of the epoch that was known count as earlier ones"
        assert_only_that_is_lost(loaded, restored)

    # And an upgrade to the next version fails no request.
    assert_next_upgrade_is_kept(upgrades, start_load, NEW_VERSION)


def assert_goes_on(upgrades: Upgrades, restored: Restored, version: str) -> None:
    """The version is active, serves, and executes at an epoch above all known ones, after one move of the fence."""
    status = upgrades.wait_until_reconciled()
    active, fence = status["active"], upgrades.fence()
    assert active["version"] == version, f"another version is active after the restore: {active}"
    assert upgrades.selected_colour() == active["colour"], "the live Service does not select the active colour"
    assert fence["executors"] == [active["colour"]], f"the fence does not name the active colour alone: {fence}"
    assert fence["epoch"] > restored.epoch, f"the fence is not above epoch {restored.epoch}, which was known: {fence}"
    assert active["epoch"] == fence["epoch"], f"status has another epoch than the fence: {active} and {fence}"
    moves = json.loads(database.psql(upgrades.engine, HISTORY_SQL, known=str(restored.epoch)))
    expected = [{"epoch": fence["epoch"], "executors": fence["executors"]}]
    assert moves == expected, f"the fence did not move once, to the active colour: {moves}"


def assert_only_that_is_lost(loaded: Load, restored: Restored) -> None:
    """End the load: what it was told before the dump and after the restore is there, executed once, by the fence."""
    ledger = loaded.end()
    rows = database.rows(loaded.traffic.engine, ledger)
    there = {row.client_order_id for row in rows.orders}
    acknowledged = order_ids(ledger, restored)
    kept = {order: ids for order, ids in acknowledged.items() if ids}
    assert kept, "the load proves nothing: no order was acknowledged before the dump or after the restore"
    assert [order for order in kept if order not in there] == [], "orders are lost that the restore should have kept"
    doubled = {order: ids for order, ids in kept.items() if len(ids) > 1}
    assert doubled == {}, f"orders were executed twice: {doubled}"
    # The control: the data are those of the dump, since they lack what was acknowledged after it.
    assert acknowledged.keys() - there, "nothing is lost: was the dump restored at all?"

    assert list(fenced.violations(rows)) == [], "a colour executed out of its turn"
    assert late_fills(rows, restored) == [], "a colour executed on the restored data at an epoch of before"


def order_ids(ledger: Ledger, restored: Restored) -> dict[str, set[str]]:
    """Client order id → the order ids in its answers, without those of the time from which orders may be gone."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for at, order, answer in ledger.acknowledged():
        ids = found[order.client_order_id]
        if not restored.is_lost(ledger.run.started_at + at):
            ids.add(answer.order_id)
    return dict(found)


def late_fills(rows: Database, restored: Restored) -> list[str]:
    """The orders with a fill of an epoch that was known before, committed after the exchange of the databases."""
    exchanged_us = restored.exchanged * 1e6
    return [
        fill.order_id
        for fill in rows.fills
        if fill.epoch <= restored.epoch and (fill.committed_us is None or fill.committed_us > exchanged_us)
    ]


def assert_next_upgrade_is_kept(upgrades: Upgrades, start_load: StartLoad, version: str = "") -> None:
    """Under a new load an upgrade, without a version to another revision, succeeds and keeps every promise."""
    with start_load(upgrades.engine) as loaded:
        change = {} if version else new_revision()
        assert_succeeded(upgrades, upgrades.upgrade(version, **change))
        verdict = loaded.verdict()
    assert_kept(verdict)
