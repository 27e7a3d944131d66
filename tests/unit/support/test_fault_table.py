"""The table of faults: how each test ended, as pytest says it. In a run of its own, on tests that stand in."""

import json

import fault_table
import pytest


def test_each_test_has_its_outcome_in_the_table(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # given tests that pass, fail, cannot begin, and are skipped: by themselves, or by a fixture
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
        def test_cannot_begin(broken): pass
        def test_skips(): pytest.skip("needs the native cluster")
        def test_is_skipped(root_only): pass
    """)

    # when they run, then the file has each with its outcome
    pytester.runpytest_inprocess()
    rows = json.loads(fault_table.FILE.read_text())["rows"]
    assert {row["fault"]: row["outcome"] for row in rows} == {
        "passes": "passed",
        "fails": "failed",
        "cannot begin": "failed",
        "skips": "skipped",
        "is skipped": "skipped",
    }
