"""A TradingEngine as the operator reads it from the API server."""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from rtx_operator.api.names import RETRY
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.api.status import TradingEngineStatus

RETRY_KEPT = 256  # characters of the annotation that status remembers


class InvalidSpecError(ValueError):
    """The stored object does not fit this operator's schema; the message is one sentence for its owner."""


@dataclass(frozen=True, slots=True)
class TradingEngine:
    """One engine: identity, spec and last status."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    retry: str  # value of the retry annotation
    spec: TradingEngineSpec
    status: TradingEngineStatus

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """Read an object of the API server; raises InvalidSpecError.

        The API server has checked it, but perhaps against an older CRD.
        """
        meta = manifest["metadata"]
        try:
            spec = TradingEngineSpec.model_validate(manifest["spec"])
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["spec", *map(str, first["loc"])])
            raise InvalidSpecError(f"{field}: {first['msg']}; correct the field and apply again") from error
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta["resourceVersion"],
            deleting="deletionTimestamp" in meta,
            retry=(meta.get("annotations") or {}).get(RETRY, "")[:RETRY_KEPT],
            spec=spec,
            status=_status(manifest.get("status") or {}),
        )


def _status(written: dict[str, Any]) -> TradingEngineStatus:
    """As far as it is understood: a later operator may have written more. One field that is not hides no other, so
    that which colour is active is never forgotten for the sake of something else.
    """
    understood: dict[str, Any] = {}
    for name, value in written.items():
        if name not in _STATUS_FIELDS:
            continue
        try:
            TradingEngineStatus.model_validate({name: value})
        except ValidationError:
            continue
        understood[name] = value
    return TradingEngineStatus.model_validate(understood)


_STATUS_FIELDS = {field.alias for field in TradingEngineStatus.model_fields.values()}
