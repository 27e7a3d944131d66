"""`rtx-engine migrate`: output and error messages."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_forks import EngineForks
from rtx_engine.store.migration_files import Half, load

COMMAND_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Done:
    """What a command that has ended leaves."""

    returncode: int
    stdout: str
    stderr: str


Migrate = Callable[..., Done]
EXPANSIONS = [migration for migration in load() if migration.half is Half.EXPAND]


@pytest.fixture
def migrate(fenced_database: Any, engine_forks: EngineForks, tmp_path: Path) -> Migrate:
    """`migrate("up", …, DB_HOST="")`: the command on the test's database, with changes to its environment."""
    database = fenced_database.as_role("rtx_migrator")
    variables = {
        "PATH": os.environ["PATH"],
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "DB_NAME": database.name,
        "DB_USER": database.user,
        "DB_PASSWORD": database.password,
    }

    def run(*words: str, **changes: str) -> Done:
        output, errors = (tmp_path / f"{len(list(tmp_path.iterdir()))}.{stream}" for stream in ("stdout", "stderr"))
        environment = {**variables, **changes}
        command = engine_forks.fork("migrate", *words, environment=environment, output=output, errors=errors)
        return Done(command.wait(COMMAND_TIMEOUT_SECONDS), output.read_text(), errors.read_text())

    return run


def test_migrate_prints_the_migrations_it_ran(migrate: Migrate):
    up = migrate("up", "--half", "expand")
    status = migrate("status", "--json")
    again = migrate("up", "--half", "expand")
    down = migrate("down", "--to", "0")

    applied = [line for line in up.stdout.splitlines() if line.startswith("applied: ")]
    assert (up.returncode, applied) == (0, [f"applied: {migration.label}" for migration in EXPANSIONS])
    states = {(row["version"], row["half"]): row["state"] for row in json.loads(status.stdout)}
    assert {states[migration.version, "expand"] for migration in EXPANSIONS} == {"applied"}
    assert states[2, "contract"] == "pending"
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "no migrations applied")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "reversed: 0001 trading (expand)")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("down", "--to", "newest"), "argument --to: newest is not a version: give a number, or 0 for none"),
        (("up", "--half", "both"), "argument --half: invalid choice: both (choose from expand, contract, all)"),
    ],
)
def test_wrong_argument_is_reported_with_the_expected_one(migrate: Migrate, words, sentence):
    refused = migrate(*words)

    # Newer Pythons quote less.
    assert (refused.returncode, refused.stderr.replace("'", "").splitlines()[-1].endswith(sentence)) == (2, True)


def test_migrate_down_reverses_the_migrations_of_a_cutover(migrate: Migrate):
    migrate("up", "--to", "1")
    up = migrate("up", "--half", "expand", "--cutover", "1.1.0-3f9a2c1b")
    both = migrate("down", "--to", "0", "--cutover", "1.1.0-3f9a2c1b")
    down = migrate("down", "--cutover", "1.1.0-3f9a2c1b")

    assert up.returncode == 0
    assert both.returncode == 2
    assert both.stderr.endswith("error: argument --cutover: not allowed with argument --to\n")
    reversed_ = [line for line in down.stdout.splitlines() if line.startswith("reversed: ")]
    assert reversed_ == [f"reversed: {migration.label}" for migration in reversed(EXPANSIONS[1:])]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DB_HOST": ""}, "DB_HOST is not set; set it in the environment."),
        ({"DB_PORT": "many"}, "DB_PORT is 'many'; it must be a port number from 1 to 65535."),
        ({"DB_PASSWORD": "wrong"}, "refused rtx_migrator: password authentication failed"),
        ({"DB_NAME": "nowhere"}, 'refused rtx_migrator: database "nowhere" does not exist'),
    ],
)
def test_migrate_reports_an_error_in_one_sentence(migrate: Migrate, environment, sentence):
    failed = migrate("up", **environment)
    assert failed.returncode == 1
    assert sentence in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
