"""The linter of migrations, with our settings, finds what would hold up orders: `make check` runs it over all files."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def lint(tmp_path: Path, sql: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "0042_test.expand.sql"
    file.write_text(sql, encoding="utf-8")
    command = ["squawk", f"--config={ROOT / '.squawk.toml'}", "--reporter=gcc", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("CREATE INDEX orders_by_colour ON orders (colour);", "require-concurrent-index-creation"),
        ("ALTER TABLE orders ADD COLUMN note text NOT NULL;", "adding-required-field"),
        ("ALTER TABLE orders ALTER COLUMN sequence TYPE numeric;", "changing-column-type"),
        ("ALTER TABLE orders ADD CONSTRAINT some CHECK (price > 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE orders DROP COLUMN colour;", "ban-drop-column"),
    ],
)
def test_statement_that_would_hold_up_orders_is_refused(tmp_path: Path, sql: str, rule: str) -> None:
    found = lint(tmp_path, sql)
    assert found.returncode != 0
    assert rule in found.stdout


def test_index_that_is_built_beside_orders_is_accepted(tmp_path: Path) -> None:
    found = lint(tmp_path, "CREATE INDEX CONCURRENTLY orders_by_colour ON orders (colour);")
    assert (found.returncode, found.stdout) == (0, "")
