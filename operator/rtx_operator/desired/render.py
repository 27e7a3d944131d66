"""Renders templates to plain data. A template has the structure of an object; every value is written into it as JSON.

JSON is YAML except for a few characters, which are escaped, so no value can change the structure around it.
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

# Every character that is not printable in YAML or breaks a line there. YAML has no surrogate pairs.
_ESCAPED = re.compile("[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _as_yaml(value: object) -> object:
    if isinstance(value, jinja2.Undefined):
        return value  # jinja2 raises its error when it writes the value
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("rtx_operator", "templates"),
    undefined=jinja2.StrictUndefined,
    finalize=_as_yaml,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - this is YAML, and finalize escapes every value
)


def render(template: str, **values: Any) -> Object:
    """The object from templates/`template`.yaml.j2, filled with JSON-like `values`.

    Raises jinja2.UndefinedError for a missing value, and jinja2.TemplateNotFound for a missing template.
    """
    rendered: Object = json.loads(_rendered(template, json.dumps(values, sort_keys=True)))
    return rendered


@functools.lru_cache(maxsize=4096)
def _rendered(template: str, values: str) -> str:
    text = _ENVIRONMENT.get_template(f"{template}.yaml.j2").render(json.loads(values))
    return json.dumps(yaml.load(text, Loader=yaml.CSafeLoader))


def digest(value: Mapping[str, Any]) -> str:
    """The first ten hexadecimal digits of a hash of `value`, for the end of an object's name."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]
