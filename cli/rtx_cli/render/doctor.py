"""The text of findings."""

from collections.abc import Sequence

from rtx_cli.decide.doctor.findings import Finding, Severity
from rtx_cli.render.text import Look, Style

_MARKS = {
    Severity.PROBLEM: ("PROBLEM", Style.BAD),
    Severity.WARNING: ("WARNING", Style.MOVING),
    Severity.NOTE: ("NOTE", Style.FAINT),
}
_INDENT = " " * 9


def findings_lines(title: str, findings: Sequence[Finding], look: Look) -> list[str]:
    """The engine, then each finding with what to do below it."""
    worst = [one for one in findings if one.severity is not Severity.NOTE]
    state = look.paint("healthy", Style.GOOD) if not worst else f"{len(worst)} to look at"
    lines = [f"{look.paint(title, Style.STRONG)}: {state}"]
    for one in findings:
        word, style = _MARKS[one.severity]
        lines.append(f"{look.paint(f'{word:<7}', style)}  {one.where}: {one.what}")
        if one.remedy:
            lines.append(f"{_INDENT}→ {one.remedy}")
    return lines
