"""What one test breaks never reaches the next: the testbed, and the fixture `upgrades` in an inner pytest run."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import testbed as testbed_module
from loads import Load
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Object
from rtx_demo.sample import Sample
from testbed import Testbed
from upgrades import Upgrades

FAKE_TESTBED = """
import pytest
from rtx_demo.kubectl import Kubectl

pytest_plugins = ["evidence", "fault_table", "system_fixtures"]

class FakeTestbed:
    def __init__(self):
        self.made, self.exists, self.left_behind = 0, False, ""

    def upgrades(self):
        self.made += not self.exists
        self.exists = True
        return self

    @property
    def running(self):
        return self, None

    def damage(self):
        if self.left_behind == "an engine that cannot be inspected":
            raise KeyError(self.left_behind)
        return self.left_behind

    def discard(self):
        self.exists, self.left_behind = False, ""

@pytest.fixture(scope="session")
def testbed():
    return FakeTestbed()

@pytest.fixture(scope="session")
def kubectl():
    return Kubectl(("false",))
"""


INI = "[pytest]\nasyncio_default_fixture_loop_scope = function"


def test_engine_is_replaced_after_a_failed_test(pytester: pytest.Pytester) -> None:
    # Given a test that fails, with one test before and one after it.
    pytester.makeini(INI)
    pytester.makeconftest(FAKE_TESTBED)
    pytester.makepyfile("""
        def test_first(upgrades):
            assert upgrades.made == 1

        def test_second_fails(upgrades):
            assert upgrades.made == 1
            assert False

        def test_third(upgrades):
            assert upgrades.made == 2
    """)

    # When they run.
    result = pytester.runpytest_inprocess()

    # Then the first two share an engine and the third has a new one, as each asserts.
    result.assert_outcomes(passed=2, failed=1)


def test_damage_fails_the_test_that_left_it(pytester: pytest.Pytester) -> None:
    # Given a test that passes and leaves damage behind, and a test after it.
    pytester.makeini(INI)
    pytester.makeconftest(FAKE_TESTBED)
    pytester.makepyfile("""
        def test_first(upgrades):
            upgrades.left_behind = "role rtx_engine may open 7 connections"

        def test_second(upgrades):
            assert upgrades.made == 2
    """)

    # When they run.
    result = pytester.runpytest_inprocess()

    # Then the first is an error that names the damage, and the second has a new engine.
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left damage behind*role rtx_engine may open 7 connections*"])

    # Then the report has the CPU shares and the operator's log.
    result.stdout.fnmatch_lines(["*CPU during the test*", "*operator's log during the test*"])


def test_engine_that_cannot_be_inspected_is_replaced(pytester: pytest.Pytester) -> None:
    # Given a test that leaves an engine that cannot be inspected, and a test after it.
    pytester.makeini(INI)
    pytester.makeconftest(FAKE_TESTBED)
    pytester.makepyfile("""
        def test_first(upgrades):
            upgrades.left_behind = "an engine that cannot be inspected"

        def test_second(upgrades):
            assert upgrades.made == 2
    """)

    # When they run.
    result = pytester.runpytest_inprocess()

    # Then the first is an error, and the second has a new engine.
    result.assert_outcomes(passed=2, errors=1)


class FakeSystem:
    """Replaces the engine, its database and the operator in module testbed."""

    def __init__(self) -> None:
        self.psql_fails = False
        self.armed: dict[str, str] = {}
        self.disarmed = False

    @contextmanager
    def upgradable(self, _: Sample) -> Iterator[Any]:
        yield SimpleNamespace(read=lambda: {"spec": {}})
        raise DemoError("the namespace is not deleted")

    def psql(self, *_: object) -> str:
        if self.psql_fails:
            raise DemoError("no database")
        return ""

    def disarm_crashes(self, _: object) -> None:
        self.disarmed = True


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    system = FakeSystem()
    status: Object = {}
    monkeypatch.setattr(testbed_module, "upgradable", system.upgradable)
    monkeypatch.setattr(testbed_module.database, "psql", system.psql)
    monkeypatch.setattr(testbed_module.installation, "wait_until_running", lambda _: None)
    monkeypatch.setattr(testbed_module, "armed_crashes", lambda _: system.armed)
    monkeypatch.setattr(testbed_module, "disarm_crashes", system.disarm_crashes)
    monkeypatch.setattr(Upgrades, "wait_until_reconciled", lambda *_, **__: status)
    return system


@pytest.fixture
def bed() -> Testbed:
    return Testbed(cast("Sample", SimpleNamespace(kubectl=None)))


def test_armed_crash_is_damage(system: FakeSystem, bed: Testbed) -> None:
    # Given an undamaged engine, and an operator that a test armed for a moment that never came.
    bed.upgrades()
    assert bed.damage() == ""
    system.armed = {"rtx-operator-1": "after Switching/MoveFence"}

    # When the testbed is inspected.
    damage = bed.damage()

    # Then the armed crash is reported.
    assert damage == "the operator in rtx-operator-1 still ends after Switching/MoveFence"


def test_load_that_gave_up_is_damage(system: FakeSystem, bed: Testbed) -> None:
    # Given an undamaged engine, and a load of which one pod has given up.
    def give_up() -> int:
        raise DemoError("Traffic pod rtx-traffic-1 gave up")

    bed.upgrades()
    bed._loaded = cast("Load", SimpleNamespace(ledger=None, failed_requests=give_up))

    # When the testbed is inspected.
    damage = bed.damage()

    # Then the load's error is reported.
    assert damage == "Traffic pod rtx-traffic-1 gave up"


def test_engine_that_was_never_inspected_is_not_used(system: FakeSystem, bed: Testbed) -> None:
    # Given an engine whose database did not answer when its initial state was read.
    system.psql_fails = True
    with pytest.raises(DemoError):
        bed.upgrades()

    # When the next test needs an engine.
    system.psql_fails = False
    bed.upgrades()

    # Then it gets one with a known initial state.
    assert bed.damage() == ""


def test_operator_is_disarmed_although_the_engine_is_not_deleted(system: FakeSystem, bed: Testbed) -> None:
    # Given an engine whose namespace is not deleted.
    bed.upgrades()

    # When the testbed is discarded.
    with pytest.raises(DemoError):
        bed.discard()

    # Then the operator is disarmed.
    assert system.disarmed
