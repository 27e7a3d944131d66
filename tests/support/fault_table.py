"""The table that `make test-faults` ends with: each fault, how its test ended, its seconds and failed requests.

A pytest plugin. With tests of `tests/faults` in the run it writes the table to build/faults.json, too.
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
CUT = frozenset(ROOT / "tests/e2e" / name for name in ("test_faults.py", "test_kills.py", "test_without_protection.py"))


@dataclass(frozen=True)
class Row:
    """One fault."""

    fault: str
    outcome: str  # as pytest says it: passed, failed
    seconds: float
    failed_requests: int


ROWS = pytest.StashKey[list[Row]]()
WHOLE = pytest.StashKey[bool]()  # whether the run had tests of FOLDER
FAILED_REQUESTS = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[WHOLE] = False


def add_failed_requests(item: pytest.Item, count: int) -> None:
    """That many requests failed in the test's load, whether or not the test allows it."""
    item.stash[FAILED_REQUESTS] = item.stash.get(FAILED_REQUESTS, 0) + count


def add_row(config: pytest.Config, row: Row) -> None:
    """A fault that is one of several in its test."""
    config.stash[ROWS].append(row)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "teardown" and (item.path in CUT or FOLDER in item.path.parents):
        called = item.stash.get(REPORT, None)
        outcome = "failed" if report.failed or called is None else called.outcome
        seconds = called.duration if called else 0.0
        item.config.stash[WHOLE] |= item.path not in CUT
        name = item.name.removeprefix("test_").replace("_", " ")
        add_row(item.config, Row(name, outcome, round(seconds, 1), item.stash.get(FAILED_REQUESTS, 0)))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not config.stash[WHOLE]:
        return
    width = max((len(row.fault) for row in rows), default=0)
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':<{width}}  {'outcome':<8}  {'seconds':>7}  failed requests")
    for row in rows:
        terminalreporter.write_line(
            f"{row.fault:<{width}}  {row.outcome:<8}  {row.seconds:>7.1f}  {row.failed_requests:>15}"
        )
    if config.option.keyword or config.option.setupplan:
        return  # a part of the table is no table: the file of the last whole run stays
    FILE.parent.mkdir(exist_ok=True)
    document = {"machine": preparation.machine(), "rows": [asdict(row) for row in rows]}
    FILE.write_text(json.dumps(document, indent=2) + "\n")
