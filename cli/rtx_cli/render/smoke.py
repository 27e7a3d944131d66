"""The table of smoke tests."""

from collections.abc import Sequence

from rtx_cli.decide.smoke import SmokeResult
from rtx_cli.render.text import Cell, Look, Style, table


def results_table(results: Sequence[SmokeResult], look: Look) -> list[str]:
    rows: list[list[str | Cell]] = [
        [
            one.pod,
            one.name,
            one.path,
            Cell("passed", Style.GOOD) if one.passed else Cell("failed", Style.BAD),
            f"{one.seconds * 1000:.0f} ms" if one.status else "",
            one.error or f"status {one.status}",
        ]
        for one in results
    ]
    return table(["POD", "TEST", "PATH", "RESULT", "TOOK", "ANSWER"], rows, look)
