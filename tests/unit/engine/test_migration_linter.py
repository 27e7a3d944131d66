"""The linters of migrations find what would hold up orders: squawk, which `make check` runs on all files, and ours."""

import subprocess
from pathlib import Path

import pytest
from engine_migration_lint import RULES, faults

ROOT = Path(__file__).parents[3]
MIGRATIONS = ROOT / "engine/rtx_engine/store/migrations"


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


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SET lock_timeout = 0;", "setting"),
        ("SET LOCAL lock_timeout = '10min';", "setting"),
        ("RESET lock_timeout;", "setting"),
        ("SELECT set_config('lock_timeout', '0', false);", "setting"),
        ("SET session_replication_role = replica;", "setting"),
        ("ALTER ROLE rtx_migrator SET lock_timeout = 0;", "setting"),
        ("DO $$ BEGIN EXECUTE 'LOCK TABLE orders'; END $$;", "do-block"),
        ("-- all of them\nSELECT move_all_orders();", "call"),
        ("CALL move_all_orders();", "call"),
        ("LOCK TABLE accounts IN EXCLUSIVE MODE;", "table-lock"),
        ("CLUSTER orders USING orders_pkey;", "table-lock"),
        ("TRUNCATE positions;", "table-lock"),
        ("ALTER TABLE orders SET UNLOGGED;", "table-lock"),
        ("ALTER TABLE orders SET TABLESPACE slow;", "table-lock"),
        ("UPDATE accounts SET leverage = 100;", "row-locks"),
        ("update only public.accounts as a\nset leverage = 100 WHERE id > 0;", "row-locks"),
        ("WITH all_of_them AS (UPDATE accounts SET leverage = 1 RETURNING id) SELECT FROM all_of_them;", "row-locks"),
        ("DELETE FROM positions WHERE quantity = 0;", "row-locks"),
        ("SELECT FROM accounts FOR UPDATE;", "row-locks"),
        ("ALTER TABLE accounts DISABLE TRIGGER ALL;", "unfenced"),
        ("DROP TRIGGER execution_fence ON accounts;", "unfenced"),
    ],
)
def test_what_squawk_does_not_see_is_refused_unless_it_has_a_reason(tmp_path: Path, sql: str, rule: str) -> None:
    assert lint(tmp_path, sql).returncode == 0
    assert rule in faults(sql)
    assert rule not in faults(f"-- rtx: allows {rule}: nobody waits for it\n{sql}")
    assert rule in faults(f"-- rtx: allows {rule}:\n{sql}")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$ BEGIN LOCK TABLE a; END $f$;",
        "CREATE TRIGGER t BEFORE INSERT OR UPDATE OF b ON a FOR EACH ROW EXECUTE FUNCTION f();",
        "INSERT INTO a SELECT * FROM b ON CONFLICT (id) DO UPDATE SET c = 1;  -- UPDATE accounts SET",
        "ALTER TABLE a ALTER COLUMN b SET DEFAULT 'UPDATE accounts SET x = 1; LOCK TABLE a';",
        "GRANT SELECT, INSERT, UPDATE ON a TO rtx_engine;",
    ],
)
def test_what_holds_up_nobody_is_accepted(sql: str) -> None:
    assert faults(sql) == []


@pytest.mark.parametrize("file", sorted(MIGRATIONS.glob("*.sql")), ids=lambda file: file.name)
def test_migrations_of_this_build_keep_these_rules(file: Path) -> None:
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", sorted(MIGRATIONS.glob("*.sql")), ids=lambda file: file.name)
def test_no_migration_allows_itself_what_it_does_not_do(file: Path) -> None:
    sql = file.read_text(encoding="utf-8")
    allowed = [rule for rule in RULES if f"-- rtx: allows {rule}: " in sql]
    assert sorted(allowed) == faults(sql.replace("-- rtx: allows", "--"))
