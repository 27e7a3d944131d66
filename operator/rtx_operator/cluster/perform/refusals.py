"""Remembers what the API server refused, until it lets it pass: the next observation of the engine has it.

Only in memory: a new leader is refused the same again, and then knows it too.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from rtx_operator.api.enums import Reason
from rtx_operator.cluster.client import ApiError
from rtx_operator.results import Failure

CODES = frozenset({400, 403, 422})  # of answers that only a person can change: a quota, a policy, a webhook, a schema

ObjectKey = tuple[str, str]  # (kind, name)


@dataclass(frozen=True, slots=True)
class Refusals:
    """The objects that could not be written as desired, of all engines by (namespace, name)."""

    _of_engine: dict[Hashable, dict[ObjectKey, Failure]] = field(default_factory=dict)

    def of(self, engine: Hashable) -> Mapping[ObjectKey, Failure]:
        """A copy of what was refused last, by object."""
        return dict(self._of_engine.get(engine, {}))

    def refused(self, engine: Hashable, key: ObjectKey, error: ApiError) -> Failure:
        """Remember and return the refusal, in the API server's words. Raises `error` when it is none."""
        if error.code not in CODES:
            raise error
        kind, name = key
        reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in error.message else Reason.REQUEST_REFUSED
        refusal = Failure(f"the API server refuses {kind} {name}: {error.message}", reason)
        self._of_engine.setdefault(engine, {})[key] = refusal
        return refusal

    def passed(self, engine: Hashable, key: ObjectKey) -> None:
        """The object was written: whatever was refused of it is over."""
        self._of_engine.get(engine, {}).pop(key, None)

    def forget(self, engine: Hashable) -> None:
        """Drop everything about an engine that is gone."""
        self._of_engine.pop(engine, None)
