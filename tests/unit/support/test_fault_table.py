"""The table of faults has each test's outcome: an inner pytest run with tests of its own."""

import json

import fault_table
import pytest


def test_table_has_the_outcome_of_each_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given tests that pass, fail, fail in setup, skip, and are skipped by a fixture.
    monkeypatch.setattr(fault_table, "FOLDER", pytester.path)
    monkeypatch.setattr(fault_table, "FILE", pytester.path / "build/faults.json")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest('pytest_plugins = ["evidence", "fault_table"]')
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def broken():
            raise RuntimeError

        @pytest.fixture
        def root_only():
            pytest.skip("needs root")

        def test_passes(): pass
        def test_fails(): assert False
        def test_fails_in_setup(broken): pass
        def test_skips(): pytest.skip("needs the native cluster")
        def test_is_skipped(root_only): pass
    """)

    # When they run.
    pytester.runpytest_inprocess()

    # Then the file has each test with its outcome.
    rows = json.loads(fault_table.FILE.read_text())["rows"]
    assert {row["fault"]: row["outcome"] for row in rows} == {
        "passes": "passed",
        "fails": "failed",
        "fails in setup": "failed",
        "skips": "skipped",
        "is skipped": "skipped",
    }
