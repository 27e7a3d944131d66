"""Prints the table at the end of `make test-faults`: each fault, its test's outcome, seconds and failed requests.

A pytest plugin. A run that includes tests of `tests/faults` also writes the table to build/faults.json.
"""

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from evidence import REPORT
from rtx_demo import preparation

ROOT = Path(__file__).parents[2]
FILE = ROOT / "build/faults.json"
FOLDER = ROOT / "tests/faults"
E2E_FAULT_FILES = frozenset(
    ROOT / "tests/e2e" / name for name in ("test_faults.py", "test_kills.py", "test_without_protection.py")
)


@dataclass(frozen=True)
class Row:
    """One fault."""

    fault: str
    outcome: str  # pytest's word: passed, failed or skipped; a kill's row says "led again"
    seconds: float
    failed_requests: int


ROWS = pytest.StashKey[list[Row]]()
HAS_FAULT_TESTS = pytest.StashKey[bool]()  # whether the run included tests of FOLDER
FAILED_REQUESTS = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[HAS_FAULT_TESTS] = False


def add_failed_requests(item: pytest.Item, count: int) -> None:
    """Add `count` failed requests to the test's row, whether or not the test allows them."""
    item.stash[FAILED_REQUESTS] = item.stash.get(FAILED_REQUESTS, 0) + count


def add_row(config: pytest.Config, row: Row) -> None:
    """Add a row for one of several faults in a test."""
    config.stash[ROWS].append(row)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "teardown" and (item.path in E2E_FAULT_FILES or FOLDER in item.path.parents):
        called = item.stash.get(REPORT, None)
        outcome = "failed" if report.failed or called is None else called.outcome
        seconds = called.duration if called else 0.0
        item.config.stash[HAS_FAULT_TESTS] |= item.path not in E2E_FAULT_FILES
        name = item.name.removeprefix("test_").replace("_", " ")
        add_row(item.config, Row(name, outcome, round(seconds, 1), item.stash.get(FAILED_REQUESTS, 0)))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not config.stash[HAS_FAULT_TESTS]:
        return
    width = max((len(row.fault) for row in rows), default=0)
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':<{width}}  {'outcome':<8}  {'seconds':>7}  failed requests")
    for row in rows:
        terminalreporter.write_line(
            f"{row.fault:<{width}}  {row.outcome:<8}  {row.seconds:>7.1f}  {row.failed_requests:>15}"
        )
    if config.option.keyword or config.option.setupplan:
        return  # only a part of the tests ran: keep the file of the last whole run
    FILE.parent.mkdir(exist_ok=True)
    document = {"machine": preparation.machine(), "rows": [asdict(row) for row in rows]}
    FILE.write_text(json.dumps(document, indent=2) + "\n")
