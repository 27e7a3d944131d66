"""A TradingEngine as the operator reads it from the API server."""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from rtx_operator.api.names import REFRESH, RETRY
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.api.status import TradingEngineStatus

MAX_ANNOTATION_LENGTH = 256  # characters of an annotation that the operator records


class InvalidSpecError(ValueError):
    """The stored object does not match this operator's schema; the message names the field and the remedy."""


class UnknownActiveError(ValueError):
    """What status or the cluster records of the active release is not understood, or lost; the message says which."""


class OperatorTooOldError(ValueError):
    """A later release of the operator wrote something that this one does not know; the message names the field."""

    def __str__(self) -> str:
        return (
            f"{super().__str__()}, which this release of the operator does not know: a later one wrote it. Nothing is "
            "changed; run that release, or a later one"
        )


@dataclass(frozen=True, slots=True)
class TradingEngine:
    """Identity, spec and last status of one engine."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    retry: str  # value of the retry annotation
    refresh: str  # value of the refresh annotation
    spec: TradingEngineSpec
    status: TradingEngineStatus

    @property
    def scope(self) -> tuple[str, str]:
        """(namespace, name): what its children are kept under."""
        return self.namespace, self.name

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """Parse an object of the API server. Raises InvalidSpecError: its CRD may be older than this operator."""
        meta = manifest["metadata"]
        try:
            spec = TradingEngineSpec.model_validate(manifest["spec"])
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["spec", *map(str, first["loc"])])
            raise InvalidSpecError(
                f"{field}: {first['msg'].removeprefix('Value error, ')}; correct the field and apply again"
            ) from error
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta["resourceVersion"],
            deleting="deletionTimestamp" in meta,
            retry=_annotation(meta, RETRY),
            refresh=_annotation(meta, REFRESH),
            spec=spec,
            status=_status(manifest.get("status") or {}),
        )


def _annotation(meta: dict[str, Any], name: str) -> str:
    value: str = (meta.get("annotations") or {}).get(name, "")
    return value[:MAX_ANNOTATION_LENGTH]


def _status(written: dict[str, Any]) -> TradingEngineStatus:
    """The fields that this operator can parse; a later operator may have written others.

    Each field is parsed alone, so that an unreadable one does not hide the active colour. Raises UnknownActiveError
    when that one is unreadable: an engine that runs must not be taken for one that is not installed.
    """
    parsed: dict[str, Any] = {}
    for name, value in written.items():
        if name not in _STATUS_FIELDS:
            continue
        try:
            TradingEngineStatus.model_validate({name: value})
        except ValidationError as error:
            if name == _ACTIVE:
                raise UnknownActiveError(
                    "status.active was written by another release of the operator and cannot be read: nothing is "
                    "changed; run the release that wrote it"
                ) from error
            continue
        parsed[name] = value
    return TradingEngineStatus.model_validate(parsed)


_ACTIVE = "active"
_STATUS_FIELDS = {field.alias for field in TradingEngineStatus.model_fields.values()}
