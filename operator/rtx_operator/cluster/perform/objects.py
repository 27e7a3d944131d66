"""Performs what concerns objects of the API server: apply, delete, scale."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from rtx_operator.api.enums import Reason
from rtx_operator.cluster import events
from rtx_operator.cluster.apply import Applied, Applier, ForeignObjectError
from rtx_operator.cluster.client import ApiError, Client, Object
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.perform.refusals import Refusals
from rtx_operator.cluster.resources import BY_KIND, SECRET
from rtx_operator.observation import Observation, Owner, age
from rtx_operator.operations.effects import Scale
from rtx_operator.results import Failure, Unmet, Waiting

_REPORTED = {
    Applied.REPAIRED: "was changed by somebody else: restored",
    Applied.RECREATED: "was deleted by somebody else: created again",
}
# The answers to an eviction that one disruption budget does not allow now, and where a pod has several: none is asked.
KEPT_BY_BUDGETS = {429, 500}
APPLY_PATIENCE_SECONDS = 1.0  # for one object before the next is begun; a healthy API server takes a hundredth of it

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectPerformer:
    """Acts on the children of one TradingEngine, `manifest`."""

    client: Client
    applier: Applier
    manifest: Object
    owner: Owner
    refusals: Refusals
    patience: float = APPLY_PATIENCE_SECONDS

    @property
    def _scope(self) -> tuple[str, str]:
        return self.owner.namespace, self.owner.name

    async def apply_all(self, objects: Iterable[Object], seen: Observation) -> Unmet | None:
        """Apply each in turn; one that fails or hangs keeps no other from being applied. Returns the first refusal.

        A Secret that cannot be created does: a volume must not be older than the passwords to it.
        Raises ApiError when any failed otherwise than by a refusal.
        """
        applying: list[asyncio.Task[Unmet | None]] = []
        patience = self.patience
        try:
            for wanted in objects:
                applying.append(asyncio.create_task(self._apply(wanted, seen)))
                _, late = await asyncio.wait(applying[-1:], timeout=patience)
                if _is_new_secret(wanted, seen) and not _has_passed(applying[-1]):
                    break
                patience = 0.0 if late else patience  # once one hangs, the others do not wait for each other any more
            results = await asyncio.gather(*applying, return_exceptions=True)
        finally:
            for task in applying:
                task.cancel()
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            # What is no error of the API server, such as lost leadership, matters more.
            raise min(errors, key=lambda error: isinstance(error, ApiError))
        return next((result for result in results if result is not None), None)  # type: ignore[return-value]

    async def _apply(self, wanted: Object, seen: Observation) -> Unmet | None:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = seen.children.get((kind, name))
        try:
            applied, _ = await self.applier.apply(self._scope, BY_KIND[kind], wanted, live, self.owner.uid)
        except ForeignObjectError as error:
            return Failure(error.message, Reason.NAME_TAKEN)
        except ApiError as error:
            return self.refusals.refused(self._scope, (kind, name), error)
        self.refusals.passed(self._scope, (kind, name))
        if applied is Applied.TERMINATING:
            message = f"{kind} {name} is {age(live or wanted)}; it is created again once it is gone"
            return Waiting(message, Reason.TERMINATING)
        if applied not in {Applied.UNCHANGED, Applied.DEFERRED}:
            log.info("applied", kind=kind, name=name, outcome=applied.value)
        if applied in _REPORTED:
            message = f"{kind} {name} {_REPORTED[applied]}"
            await events.record(self.client, self.manifest, EventReason.REPAIRED, message)
        return None

    async def delete_all(self, objects: Iterable[Object]) -> Unmet | None:
        """Delete each as it was observed; one that is refused keeps no other. Returns the first refusal.

        Raises ApiError.
        """
        refusal: Unmet | None = None
        for obsolete in objects:
            kind, name = obsolete["kind"], obsolete["metadata"]["name"]
            try:
                await self.client.delete(BY_KIND[kind], obsolete)
            except ApiError as error:
                refused = self.refusals.refused(self._scope, (kind, name), error)
                refusal = refusal or refused
                continue
            self.refusals.passed(self._scope, (kind, name))
            self.applier.forget_child(self._scope, obsolete)
            message = f"deleted {kind} {name}: no longer needed"
            await events.record(self.client, self.manifest, EventReason.DELETED, message)
        return refusal

    async def evict_all(self, pods: Iterable[Object]) -> Unmet | None:
        """Evict each as it was observed. Returns the first that a disruption budget keeps for now. Raises ApiError."""
        refusal: Unmet | None = None
        for pod in pods:
            name = pod["metadata"]["name"]
            try:
                await self.client.evict(pod)
            except ApiError as error:
                if error.code not in KEPT_BY_BUDGETS:
                    raise
                refusal = refusal or Waiting(f"pod {name} stays for now: {error.message}", Reason.TERMINATING)
                continue
            message = f"evicted Pod {name}: another one takes its place"
            await events.record(self.client, self.manifest, EventReason.EVICTED, message)
        return refusal

    async def keep_data(self, objects: Iterable[Object]) -> Unmet | None:
        """Take the owner off Secrets, and have StatefulSets keep their volume claims. Returns the first refusal.

        Raises ConflictError when one has changed since it was observed, and ApiError.
        """
        refusal: Unmet | None = None
        for live in objects:
            kind, name = live["kind"], live["metadata"]["name"]
            others = [one for one in live["metadata"].get("ownerReferences") or [] if one["uid"] != self.owner.uid]
            policy = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}
            changes = {"metadata": {"ownerReferences": others}} if kind == "Secret" else {"spec": policy}
            try:
                written = await self.client.merge(BY_KIND[kind], live, changes)
            except ApiError as error:
                refused = self.refusals.refused(self._scope, (kind, name), error)
                refusal = refusal or refused
                continue
            self.applier.forget_child(self._scope, live, written)
            log.info("data is kept", kind=kind, name=name)
        return refusal

    async def scale(self, effect: Scale) -> Unmet | None:
        """Returns the refusal. Raises ConflictError when the Deployment has changed since it was observed."""
        name = effect.deployment["metadata"]["name"]
        log.info("scaling", effect=effect.name, deployment=name, replicas=effect.replicas)
        try:
            await self.client.scale(BY_KIND["Deployment"], effect.deployment, effect.replicas)
        except ApiError as error:
            return self.refusals.refused(self._scope, ("Deployment", name), error)
        if effect.why:
            await events.record(self.client, self.manifest, EventReason.SCALED, f"Deployment {name} {effect.why}")
        return None


def _is_new_secret(wanted: Object, seen: Observation) -> bool:
    return bool(wanted["kind"] == SECRET.kind) and seen.child(SECRET.kind, wanted["metadata"]["name"]) is None


def _has_passed(applying: asyncio.Task[Unmet | None]) -> bool:
    """Whether it was applied: it neither hangs, nor failed, nor was refused."""
    return applying.done() and applying.exception() is None and applying.result() is None
