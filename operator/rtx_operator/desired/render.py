"""Templates to plain data. A template holds the shape of an object; every value in it is written as JSON.

JSON is YAML, all but a few characters, so a value can never change the shape around it, whatever it contains.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

Object = dict[str, Any]

# Printable in YAML, and no line break there: all else is escaped, but never as a surrogate pair, which YAML has not.
_ESCAPED = re.compile("[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _as_yaml(value: object) -> object:
    if isinstance(value, jinja2.Undefined):
        return value  # its own error is raised when it is written
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("rtx_operator", "templates"),
    undefined=jinja2.StrictUndefined,
    finalize=_as_yaml,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - this is YAML, and finalize leaves nothing to escape
)


def render(template: str, **values: Any) -> Object:
    """The object that `template` shapes from JSON-like values; raises jinja2.UndefinedError for one that is missing."""
    rendered: Object = json.loads(_rendered(template, json.dumps(values, sort_keys=True)))
    return rendered


@functools.lru_cache(maxsize=4096)
def _rendered(template: str, values: str) -> str:
    text = _ENVIRONMENT.get_template(f"{template}.yaml.j2").render(json.loads(values))
    return json.dumps(yaml.load(text, Loader=yaml.CSafeLoader))


def digest(value: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that stand for `value`: fit for the end of an object's name."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]
