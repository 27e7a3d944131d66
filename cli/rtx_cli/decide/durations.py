"""Durations as kubectl takes them: 90s, 5m, 1h30m."""

import re

from rtx_cli.exits import CliError, ExitCode

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def seconds(text: str) -> float:
    """Seconds of a duration. Raises CliError."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise CliError(f"{text!r} is no duration: write it like 90s, 5m or 1h30m", ExitCode.USAGE)
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
