"""Standard output: colours and box-drawing characters where they can be shown, plain text elsewhere."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rtx_cli.render.text import ASCII, UNICODE, Look

_ERASE_BELOW = "\x1b[J"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a command writes. `is_live` says whether lines can be drawn over."""

    out: TextIO
    look: Look
    is_live: bool

    @classmethod
    def of_process(cls, environment: Mapping[str, str] = os.environ) -> "Terminal":
        """Standard output; colours only on a terminal, and not with NO_COLOR (https://no-color.org)."""
        is_terminal = sys.stdout.isatty() and environment.get("TERM") != "dumb"
        encoding = (sys.stdout.encoding or "").lower().replace("-", "")
        look = Look(
            colours=is_terminal and not environment.get("NO_COLOR"),
            branches=UNICODE if encoding.startswith("utf") else ASCII,
            width=shutil.get_terminal_size().columns if is_terminal else 0,
        )
        return cls(sys.stdout, look, is_terminal)

    def lines(self, lines: Sequence[str]) -> None:
        """Write these lines."""
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def line(self, text: str) -> None:
        self.lines([text])

    def note(self, text: str) -> None:
        """A sentence for the person, not for the program that reads the output."""
        self.out.flush()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def redraw(self, lines: Sequence[str], drawn: int) -> int:
        """Draw over the last `drawn` lines; returns how many it drew: no more than fit on the screen."""
        height = shutil.get_terminal_size().lines - 1
        shown = lines if len(lines) <= height else [*lines[: height - 1], f"… {len(lines) - height + 1} more lines"]
        back = f"\x1b[{drawn}F" if drawn else ""
        # One write, each line erased as it is written: a screen that is cleared first flickers.
        body = "".join(f"{line}\x1b[K\n" for line in shown)
        self.out.write(f"{back}{body}{_ERASE_BELOW}")
        self.out.flush()
        return len(shown)
