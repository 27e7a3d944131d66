"""Makes text that others wrote fit what the API server stores: the length of a string, of a list, and its characters.

An admission webhook, an image's last words or a registry's error may be of any length. A status with one text too long
is refused as a whole (422), with the phase that it was to record.
"""

import re
from typing import Any

from rtx_operator.api.schema import Schema

LEFT_OUT = " […] "
# Control characters but for tab and newline, and halves of surrogate pairs, which have no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def cut(text: str, characters: int) -> str:
    """The text in at most so many characters: printable ones, and the middle left out, as the end has the remedy."""
    readable = _UNPRINTABLE.sub("\ufffd", text)
    if len(readable) <= characters:
        return readable
    end = min(characters // 4, 500)
    start = characters - end - len(LEFT_OUT)
    return f"{readable[:start]}{LEFT_OUT}{readable[-end:]}" if min(start, end) > 0 else readable[:characters]


def cut_bytes(text: str, limit: int) -> str:
    """Like `cut`, with the limit in bytes of UTF-8."""
    size = limit
    while len((shorter := cut(text, size)).encode()) > limit:
        size -= max(1, (len(shorter.encode()) - limit) // 4)
    return shorter


def fitted(value: Any, schema: Schema) -> Any:
    """The value with each string and list in it cut to the maximum of its schema, of an OpenAPI schema without $ref."""
    if isinstance(value, str):
        return cut(value, schema.get("maxLength", len(value)))
    if isinstance(value, list):
        items = value[: schema.get("maxItems", len(value))]
        return [fitted(item, schema.get("items", {})) for item in items]
    if isinstance(value, dict):
        fields, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {name: fitted(inner, fields.get(name, others)) for name, inner in value.items()}
    return value
