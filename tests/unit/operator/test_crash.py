"""The crash hook: it ends a process at the moment it is told, once, and never otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest
from rtx_operator.cluster.crash import EXIT_CODE, CrashHook, Moment

OPERATOR = """
import atexit, sys
from pathlib import Path
from rtx_operator.cluster.crash import CrashHook, Moment
atexit.register(print, "cleaned up")
hook = CrashHook(Path(sys.argv[1]))
for phase, effect in (("Switching", "MoveFence"), ("Switching", "Select"), ("RollingBack", "MoveFence")):
    hook.reach(Moment.BEFORE, phase, effect)
    print(phase, effect, flush=True)
    hook.reach(Moment.AFTER, phase, effect)
"""
WHOLE_LIFE = ["Switching MoveFence", "Switching Select", "RollingBack MoveFence", "cleaned up"]


def run(file: Path) -> tuple[int, list[str]]:
    """Exit code of an operator, and the effects it carried out."""
    ended = subprocess.run([sys.executable, "-c", OPERATOR, str(file)], check=False, capture_output=True, text=True)
    return ended.returncode, [line for line in ended.stdout.splitlines() if "crash hook" not in line]


@pytest.mark.parametrize(
    ("written", "done"),
    [
        ("before MoveFence", []),
        ("after MoveFence\n", ["Switching MoveFence"]),
        ("before Select", ["Switching MoveFence"]),
        ("before RollingBack/MoveFence", ["Switching MoveFence", "Switching Select"]),
        ("after RollingBack/MoveFence", ["Switching MoveFence", "Switching Select", "RollingBack MoveFence"]),
    ],
)
def test_the_process_ends_at_the_moment_that_the_file_names_and_the_next_one_lives(
    tmp_path: Path, written: str, done: list[str]
) -> None:
    file = tmp_path / "crash"
    file.write_text(written)

    assert run(file) == (EXIT_CODE, done)
    assert not file.exists()
    assert run(file) == (0, WHOLE_LIFE)


@pytest.mark.parametrize(
    "written", ["", "before", "MoveFence", "during MoveFence", "before Promote", "before Other/Select"]
)
def test_a_file_that_names_no_such_moment_ends_nothing(tmp_path: Path, written: str) -> None:
    file = tmp_path / "crash"
    file.write_text(written)

    assert run(file) == (0, WHOLE_LIFE)
    assert file.read_text() == written


def test_without_a_path_nothing_is_looked_for() -> None:
    CrashHook(None).reach(Moment.BEFORE, "Switching", "MoveFence")
