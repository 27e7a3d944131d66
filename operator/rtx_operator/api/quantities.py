"""Parses Kubernetes' quantities, for comparisons only: manifests keep the original text. Pure."""

import re
from fractions import Fraction

_FACTORS = {
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate(("", "k", "M", "G", "T", "P"))},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), start=1)},
}
_QUANTITY = re.compile(rf"([0-9]+(?:[.][0-9]+)?)({'|'.join(_FACTORS)})")


def amount(quantity: str) -> Fraction:
    """The quantity in cores or bytes: 500m is 1/2, 1Ki is 1024. Raises ValueError if it cannot be parsed."""
    parts = _QUANTITY.fullmatch(quantity)
    if parts is None:
        raise ValueError(f"{quantity!r} is not a quantity: write for example 500m, 2 or 512Mi")
    return Fraction(parts[1]) * _FACTORS[parts[2]]
