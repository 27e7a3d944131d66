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
    """The record of the active release is lost; the message says which, and what to do."""


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
    given: dict[str, Any]  # spec as it is stored, with the fields that only a later release knows
    status: TradingEngineStatus

    @property
    def scope(self) -> tuple[str, str]:
        """(namespace, name): what its children are kept under."""
        return self.namespace, self.name

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """Parse an object of the API server. Its CRD may be of another release than this operator.

        Fields that this release does not know are ignored. Raises OperatorTooOldError for a choice that it does not
        know, and for a record in status that it cannot read, and InvalidSpecError for any other value of spec.
        """
        meta = manifest["metadata"]
        try:
            spec = TradingEngineSpec.model_validate(manifest["spec"])
        except ValidationError as error:
            raise _spec_error(error) from error
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
            given=manifest["spec"],
            status=_status(manifest.get("status") or {}),
        )


def _annotation(meta: dict[str, Any], name: str) -> str:
    value: str = (meta.get("annotations") or {}).get(name, "")
    return value[:MAX_ANNOTATION_LENGTH]


def _spec_error(error: ValidationError) -> ValueError:
    """An unknown choice comes first: other errors may follow from what this release does not know."""
    for one in error.errors():
        if one["type"] in _UNKNOWN_CHOICE:
            return OperatorTooOldError(_field("spec", one))
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    return InvalidSpecError(
        f"{'.'.join(['spec', *map(str, first['loc'])])}: {message}; correct the field and apply again"
    )


def _status(written: dict[str, Any]) -> TradingEngineStatus:
    """The status that decisions rest on. Raises OperatorTooOldError.

    A record that cannot be read is not left out: an engine amid a cutover must not be taken for one at rest. What
    status only reports is left out, the operator writes it anew.
    """
    known = {name: value for name, value in written.items() if name not in _REPORTED}
    try:
        return TradingEngineStatus.model_validate(known)
    except ValidationError as error:
        raise OperatorTooOldError(_field("status", error.errors()[0])) from error


def _field(root: str, error: Any) -> str:
    value = str(error["input"]) if not isinstance(error["input"], str) else repr(error["input"])
    return f"{'.'.join([root, *map(str, error['loc'])])} is {value[:100]}"


_UNKNOWN_CHOICE = frozenset({"enum", "literal_error", "extra_forbidden"})
_REPORTED = frozenset({"conditions", "observedGeneration", "replicas", "pods"})
