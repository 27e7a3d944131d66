"""Output for programs: JSON and YAML of what a command found."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON has it; fields of dataclasses in camelCase, times in RFC 3339."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))
        return {_camel(name): plain(inner) for name, inner in fields}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def text(value: Any, form: str) -> str:
    """The value as `json` or `yaml`."""
    if form == "json":
        return json.dumps(plain(value), indent=2, ensure_ascii=False)
    import yaml  # noqa: PLC0415 - only where it is asked for

    return str(yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True)).rstrip()


def _camel(name: str) -> str:
    first, *others = name.strip("_").split("_")
    return first + "".join(word.capitalize() for word in others)
