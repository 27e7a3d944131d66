"""Configuration files of the cluster's programs, as templates with `${NAME}` placeholders."""

from pathlib import Path
from string import Template

FILES = Path(__file__).parent / "files"


def render(name: str, /, **values: object) -> str:
    """The template `files/NAME` with its values. Raises KeyError when a value is missing."""
    return Template((FILES / name).read_text()).substitute({key: str(value) for key, value in values.items()})
