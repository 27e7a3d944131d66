"""The crash hook: it ends a process once, at the moment named in the file, and never otherwise."""

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
ALL_EFFECTS = ["Switching MoveFence", "Switching Select", "RollingBack MoveFence", "cleaned up"]


def run(file: Path) -> tuple[int, list[str]]:
    """(exit code, performed effects) of a process with the hook."""
    ended = subprocess.run([sys.executable, "-c", OPERATOR, str(file)], check=False, capture_output=True, text=True)
    return ended.returncode, [line for line in ended.stdout.splitlines() if "crash hook" not in line]


@pytest.mark.parametrize(
    ("written", "performed"),
    [
        ("before MoveFence", []),
        ("after MoveFence\n", ["Switching MoveFence"]),
        ("before Select", ["Switching MoveFence"]),
        ("before RollingBack/MoveFence", ["Switching MoveFence", "Switching Select"]),
        ("after RollingBack/MoveFence", ["Switching MoveFence", "Switching Select", "RollingBack MoveFence"]),
    ],
)
def test_process_ends_at_the_named_moment_and_the_next_process_does_not(
    tmp_path: Path, written: str, performed: list[str]
) -> None:
    file = tmp_path / "crash"
    file.write_text(written)

    assert run(file) == (EXIT_CODE, performed)
    assert not file.exists()
    assert run(file) == (0, ALL_EFFECTS)


@pytest.mark.parametrize(
    "written", ["", "before", "MoveFence", "during MoveFence", "before Autoscale", "before Other/Select"]
)
def test_file_without_a_known_moment_ends_no_process(tmp_path: Path, written: str) -> None:
    file = tmp_path / "crash"
    file.write_text(written)

    assert run(file) == (0, ALL_EFFECTS)
    assert file.read_text() == written


def test_hook_without_a_path_does_nothing() -> None:
    CrashHook(None).reach(Moment.BEFORE, "Switching", "MoveFence")
