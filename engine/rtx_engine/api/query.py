"""The parameters of a URL. Pure."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qs

from rtx_engine.api.errors import bad_request
from rtx_engine.domain import grammar

T = TypeVar("T")


class Query:
    """The parameters of `text`, the part of a URL after the question mark. Each may be given once."""

    def __init__(self, text: bytes) -> None:
        self._values: Mapping[str, list[str]] = parse_qs(text.decode("ascii", "replace"), keep_blank_values=True)

    def text(self, name: str) -> str | None:
        """The value; None if it is not given. Raises ApiError (400) if it is given more than once."""
        values = self._values.get(name, ())
        if len(values) > 1:
            raise bad_request(f"{name} is given {len(values)} times: give it once.")
        return values[0] if values else None

    def whole_number(self, name: str, default: T, *, minimum: int = 0, maximum: int = grammar.MAX_SEQUENCE) -> int | T:
        """The value, from `minimum` to `maximum`; `default` if it is not given. Raises ApiError (400)."""
        text = self.text(name)
        if text is None:
            return default
        try:
            return grammar.whole_number(text, minimum=minimum, maximum=maximum)
        except grammar.GrammarError:
            raise bad_request(
                f"{name} is {text[:32]!a}: give a whole number from {minimum} to {maximum}, in digits only."
            ) from None
