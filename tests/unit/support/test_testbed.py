"""What one test breaks never reaches the next: the fixture `upgrades`, in a run of its own on a stand-in."""

import pytest

BED = """
import pytest

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
        return self.left_behind

    def discard(self):
        self.there, self.left_behind = False, ""

@pytest.fixture(scope="session")
def testbed():
    return Bed()

@pytest.fixture(scope="session")
def kubectl():
    return None
"""


def test_a_test_that_failed_leaves_its_engine_to_nobody(pytester: pytest.Pytester) -> None:
    # given a test that fails and one that comes after it
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
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
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
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
