"""The pieces that API models are built from: strictness, camelCase, Kubernetes' own scalars, CEL rules.

A string that users can get wrong carries a CEL rule instead of a `pattern`: the API server then answers with our
message, which says what to write, and not with a regular expression.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

Schema = dict[str, Any]
VALIDATIONS = "x-kubernetes-validations"
# Marks for the generator of the CRD, which does not write them.
OPEN_ENUM = "x-rtx-open-enum"  # true: more values will come, a CEL rule names those of today
BOUNDS = "x-rtx-bounds"  # [minimum, maximum], as text, where only a CEL rule has them


Time = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]


def rule(expression: str, message: str, field_path: str = "") -> dict[str, str]:
    """One CEL rule as a CRD writes it. Users read `message` after the path of the field: what is wrong, what to do.

    A rule of an object names the field to correct, in the message and as `field_path` (`.minReplicas`).
    """
    written = {"rule": expression, "message": message}
    return {**written, "fieldPath": field_path} if field_path else written


def matches(pattern: str, message: str) -> dict[str, str]:
    """A CEL rule that the string matches `pattern`, of RE2."""
    return rule(f"self.matches(r'{pattern}')", message)


def rules(*written: dict[str, str], **more: Any) -> Callable[[Schema], None]:
    """A `json_schema_extra` that adds these CEL rules to those of the field's type."""

    def add(schema: Schema) -> None:
        schema[VALIDATIONS] = [*schema.get(VALIDATIONS, []), *written]
        schema.update(more)

    return add


def only(works: str, *, later: str) -> Callable[[Schema], None]:
    """A CEL rule instead of the schema's terse enum error, for an enum that will grow."""
    return rules(rule(f"self == '{works}'", f"must be {works}: {later} not in this release"), **{OPEN_ENUM: True})


class ApiModel(BaseModel):
    """A frozen object of the API: camelCase outside. Fields of a later release are ignored: the CRD may be newer."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class WholeModel(ApiModel):
    """An object of spec that means nothing without all of its fields, so that none of a later release is ignored.

    A policy would let more through without it, and a volume of an unknown kind would be an empty folder.
    """

    model_config = ConfigDict(extra="forbid")


class StatusModel(ApiModel):
    """A frozen object of status. Fields of a later release stay in it, and are written with it."""

    model_config = ConfigDict(extra="allow")


def _string(*written: dict[str, str], max_length: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": max_length, VALIDATIONS: list(written)})


def _cpu() -> Any:
    """Cores above 0, of at most three decimals, as text or as a number.

    YAML reads `cpu: 0.5` as a number, and pods take it. A structural schema has no type for "a string or any number",
    so this one has none, and no CEL rule can read it: what the schema lets through, the operator says.
    """
    pattern = r"^([0-9]+m|[0-9]+([.][0-9]{1,3})?)$"
    schema = {"x-kubernetes-preserve-unknown-fields": True, "maxLength": 32, "pattern": pattern}

    def text(written: object) -> str:
        if not re.fullmatch(pattern, str(written)) or not re.search("[1-9]", str(written)):
            raise ValueError("must be cores, such as 500m, 0.5 or 2")
        return str(written)

    return Annotated[str, BeforeValidator(text), WithJsonSchema(schema)]


def _bytes() -> Any:
    """An amount of bytes above 0, with its unit."""
    pattern = r"^[0-9]+([.][0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)$"
    message = "must be an amount of bytes with its unit, such as 512Mi or 50Gi"
    schema = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],  # a number is refused by our message, not by its type
        "x-kubernetes-int-or-string": True,
        "maxLength": 32,
        VALIDATIONS: [rule(f"string(self).matches(r'{pattern}') && string(self).matches('[1-9]')", message)],
    }
    return Annotated[str, BeforeValidator(str), StringConstraints(pattern=pattern), WithJsonSchema(schema)]


Cpu = _cpu()
Bytes = _bytes()

# No sum of such parts in 16 characters is more than Go's 292 years.
_DURATION = r"^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s|ms))+$"
_UNITS = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


@dataclass(frozen=True, slots=True)
class Span:
    """Marks a timedelta that is written as Kubernetes writes durations (30s, 1h30m), from `minimum` to `maximum`."""

    minimum: str
    maximum: str

    def read(self, written: object) -> timedelta:
        """The span of time. Raises ValueError for no duration, or one outside the bounds."""
        span = written if isinstance(written, timedelta) else parse_duration(str(written))
        if not parse_duration(self.minimum) <= span <= parse_duration(self.maximum):
            raise ValueError(f"must be from {self.minimum} to {self.maximum}")
        return span

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(
            format_duration, return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def __get_pydantic_json_schema__(self, _core: object, _handler: object) -> Schema:
        within = f"duration('{self.minimum}') <= duration(self) && duration(self) <= duration('{self.maximum}')"
        return {
            "type": "string",
            "maxLength": 16,
            VALIDATIONS: [
                matches(_DURATION, "must be a duration such as 30s, 5m or 1h30m"),
                rule(f"!self.matches(r'{_DURATION}') || ({within})", f"must be from {self.minimum} to {self.maximum}"),
            ],
            BOUNDS: [self.minimum, self.maximum],
        }


def parse_duration(text: str) -> timedelta:
    """Reads a span of time in Go's notation, without sign. Raises ValueError."""
    if not re.fullmatch(_DURATION, text):
        raise ValueError("must be a duration such as 30s, 5m or 1h30m")
    return sum((float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([a-z]+)", text)), timedelta())


def format_duration(span: timedelta) -> str:
    """The shortest notation of a span of whole milliseconds: 90 minutes are 1h30m."""
    rest, parts = span // _UNITS["ms"], []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"

ObjectName = Annotated[
    str,
    StringConstraints(pattern=_NAME, max_length=253),
    _string(matches(_NAME, "must be an object's name: lower case letters, digits, dashes and dots"), max_length=253),
]


def _dns_label(what: str) -> Any:
    pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
    message = f"must be the name of a {what}: lower case letters, digits and dashes"
    return Annotated[
        str, StringConstraints(pattern=pattern, max_length=63), _string(matches(pattern, message), max_length=63)
    ]


NamespaceName = _dns_label("namespace")
VolumeName = _dns_label("volume")
_KEYS = rule(f"self.all(key, key.matches(r'{_KEY}'))", "keys must be written like example.com/name or name")
_LABEL_VALUES = rule(
    f"self.all(key, self[key].matches(r'{_VALUE}'))",
    "values must be labels: letters, digits, dashes, dots and underscores, a letter or digit at both ends",
)


def labels(*more: dict[str, str]) -> Any:
    """The type of a map of labels, with `more` rules."""
    fields = Field(max_length=32, json_schema_extra=rules(_KEYS, _LABEL_VALUES, *more))
    return Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], fields]


def annotations(*more: dict[str, str]) -> Any:
    """The type of a map of annotations, with `more` rules."""
    fields = Field(max_length=32, json_schema_extra=rules(_KEYS, *more))
    return Annotated[dict[str, Annotated[str, StringConstraints(max_length=2048)]], fields]


Labels = labels()
Annotations = annotations()
LabelKey = Annotated[
    str,
    StringConstraints(pattern=_KEY, max_length=317),
    _string(matches(_KEY, "must be written like example.com/name or name"), max_length=317),
]
Cidr = Annotated[
    str, _string(rule("isCIDR(self)", "must be a range of addresses such as 203.0.113.0/24"), max_length=43)
]


def _as_in_a_pod(*fields: str) -> WithJsonSchema:
    """An object with fields of a pod's spec. The API server checks them when the operator applies the Deployment."""
    inside = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "description": "As in a pod's spec."}
    return WithJsonSchema({"type": "object", "properties": dict.fromkeys(fields, inside)})


PodObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
Affinity = Annotated[dict[str, Any], _as_in_a_pod("nodeAffinity", "podAffinity", "podAntiAffinity")]
