"""Golden files of the plugin's output: UPDATE_GOLDEN=1 writes them anew."""

import os
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, lines: Sequence[str]) -> None:
    """The lines are those of golden/NAME.txt."""
    file, text = FOLDER / f"{name}.txt", "".join(f"{line}\n" for line in lines)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file.name} differs; UPDATE_GOLDEN=1 writes it anew"
