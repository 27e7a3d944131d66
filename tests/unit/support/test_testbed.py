"""What one test breaks never reaches the next: the testbed, and in a run of its own the fixture `upgrades`."""

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

BED = """
import pytest
from rtx_demo.kubectl import Kubectl

pytest_plugins = ["evidence", "fault_table", "system_fixtures"]

class Bed:
    def __init__(self):
        self.made, self.there, self.left_behind = 0, False, ""

    def upgrades(self):
        self.made += not self.there
        self.there = True
        return self

    @property
    def running(self):
        return self, None

    def damage(self):
        if self.left_behind == "more than can be told":
            raise KeyError(self.left_behind)
        return self.left_behind

    def discard(self):
        self.there, self.left_behind = False, ""

@pytest.fixture(scope="session")
def testbed():
    return Bed()

@pytest.fixture(scope="session")
def kubectl():
    return Kubectl(("false",))
"""


INI = "[pytest]\nasyncio_default_fixture_loop_scope = function"


def test_a_test_that_failed_leaves_its_engine_to_nobody(pytester: pytest.Pytester) -> None:
    # given a test that fails and one that comes after it
    pytester.makeini(INI)
    pytester.makeconftest(BED)
    pytester.makepyfile("""
        def test_first(upgrades):
            assert upgrades.made == 1

        def test_second_fails(upgrades):
            assert upgrades.made == 1
            assert False

        def test_third(upgrades):
            assert upgrades.made == 2
    """)

    # when they run, then the engine is the same until one fails, and another after it
    pytester.runpytest_inprocess().assert_outcomes(passed=2, failed=1)


def test_a_test_that_leaves_damage_behind_fails_by_its_own_name(pytester: pytest.Pytester) -> None:
    # given a test that passes and leaves a fault behind, and one that comes after it
    pytester.makeini(INI)
    pytester.makeconftest(BED)
    pytester.makepyfile("""
        def test_first(upgrades):
            upgrades.left_behind = "role rtx_engine may open 7 connections"

        def test_second(upgrades):
            assert upgrades.made == 2
    """)

    # when they run, then the first is an error that says what it left, and the second has an engine of its own
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left damage behind*role rtx_engine may open 7 connections*"])

    # and what it takes to judge it is printed
    result.stdout.fnmatch_lines(["*processors while the test ran*", "*operator while the test ran*"])


def test_damage_that_cannot_be_told_reaches_nobody_either(pytester: pytest.Pytester) -> None:
    # given a test that leaves an engine that cannot even be inspected
    pytester.makeini(INI)
    pytester.makeconftest(BED)
    pytester.makepyfile("""
        def test_first(upgrades):
            upgrades.left_behind = "more than can be told"

        def test_second(upgrades):
            assert upgrades.made == 2
    """)

    # when they run, then the first is an error, and the second has an engine of its own
    pytester.runpytest_inprocess().assert_outcomes(passed=2, errors=1)


class StandIn:
    """An engine and an operator, and what is said of them."""

    def __init__(self) -> None:
        self.psql_fails = False
        self.armed: dict[str, str] = {}
        self.disarmed = False

    @contextmanager
    def upgradable(self, _: Sample) -> Iterator[Any]:
        yield SimpleNamespace(read=lambda: {"spec": {}})
        raise DemoError("the namespace does not go")

    def psql(self, *_: object) -> str:
        if self.psql_fails:
            raise DemoError("no database")
        return ""

    def disarm(self, _: object) -> None:
        self.disarmed = True


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    there = StandIn()
    settled: Object = {}
    monkeypatch.setattr(testbed_module, "upgradable", there.upgradable)
    monkeypatch.setattr(testbed_module.database, "psql", there.psql)
    monkeypatch.setattr(testbed_module.installation, "wait_until_running", lambda _: None)
    monkeypatch.setattr(testbed_module, "armed", lambda _: there.armed)
    monkeypatch.setattr(testbed_module, "disarm", there.disarm)
    monkeypatch.setattr(Upgrades, "settle", lambda *_, **__: settled)
    return there


@pytest.fixture
def bed() -> Testbed:
    return Testbed(cast("Sample", SimpleNamespace(kubectl=None)))


def test_an_operator_that_is_still_to_end_is_damage(stand_in: StandIn, bed: Testbed) -> None:
    # given an engine as it was found, and an operator that a test has told to end at a moment that never came
    bed.upgrades()
    assert bed.damage() == ""
    stand_in.armed = {"rtx-operator-1": "after Switching/MoveFence"}

    # when it is inspected, then that is told
    assert bed.damage() == "the operator in rtx-operator-1 ends after Switching/MoveFence"


def test_a_load_that_gave_up_is_damage(stand_in: StandIn, bed: Testbed) -> None:
    # given an engine as it was found, and a load of which one pod has given up
    def gave_up() -> int:
        raise DemoError("Traffic pod rtx-traffic-1 gave up")

    bed.upgrades()
    bed._loaded = cast("Load", SimpleNamespace(ledger=None, failed=gave_up))

    # when it is inspected, then that is told
    assert bed.damage() == "Traffic pod rtx-traffic-1 gave up"


def test_an_engine_that_could_not_be_looked_at_is_not_handed_out(stand_in: StandIn, bed: Testbed) -> None:
    # given an engine whose database did not answer when it was looked at
    stand_in.psql_fails = True
    with pytest.raises(DemoError):
        bed.upgrades()

    # when the next test asks for one, then it is one that has been looked at
    stand_in.psql_fails = False
    bed.upgrades()
    assert bed.damage() == ""


def test_an_engine_that_does_not_go_leaves_no_operator_that_is_to_end(stand_in: StandIn, bed: Testbed) -> None:
    # given an engine whose namespace does not go, when it is let go, then the operator is disarmed all the same
    bed.upgrades()
    with pytest.raises(DemoError):
        bed.discard()
    assert stand_in.disarmed
