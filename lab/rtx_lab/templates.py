"""The configuration files of the cluster's programs, kept as files with `${NAME}` holes."""

from pathlib import Path
from string import Template

FILES = Path(__file__).parent / "files"


def render(name: str, /, **values: object) -> str:
    """The file `files/NAME` with its holes filled; a hole without a value is a KeyError."""
    return Template((FILES / name).read_text()).substitute({key: str(value) for key, value in values.items()})
