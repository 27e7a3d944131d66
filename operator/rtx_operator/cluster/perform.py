"""Carries out a decision: applies, deletes, scales, moves the fence. What is refused is reported, not raised."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from rtx_operator.api.enums import Reason
from rtx_operator.cluster import events
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.apply import Applied, Applier, ForeignObjectError
from rtx_operator.cluster.client import ApiError, Client, Object, UnreachableError
from rtx_operator.cluster.crash import CrashHook, Moment
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.resources import BY_KIND
from rtx_operator.cutover.effects import URGENT, Apply, Effect, MoveFence, Scale
from rtx_operator.decide import Decision, Verdict
from rtx_operator.observation import Observation, Owner

log = structlog.get_logger(__name__)

_LOUD = {
    Applied.REPAIRED: "had been changed and was put right",
    Applied.RECREATED: "had been deleted and was made again",
}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach what stands behind one engine besides the API server."""

    database: fence.Address
    database_password: str
    engines: EnginePods


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of a decision. `again`: it did something whose result is to be observed at once."""

    refusal: Verdict | None
    again: bool


@dataclass(frozen=True, slots=True)
class Performer:
    """Acts on one API server, on the engines' databases and on their pods."""

    client: Client
    applier: Applier
    crash: CrashHook

    async def perform(
        self, manifest: Object, owner: Owner, decision: Decision, seen: Observation, access: Access
    ) -> Performed:
        """Carry out `decision` about the TradingEngine `manifest`.

        Raises ApiError when the API server fails or has moved on (then everything is observed again), and
        fence.FenceUnreachableError, fence.FenceChangedError or fence.DatabaseInUseError when the fence cannot be moved.
        """
        refusal = await self._apply_all(manifest, owner, decision.apply, seen)
        for obsolete in decision.delete:
            kind, name = obsolete["kind"], obsolete["metadata"]["name"]
            await self.client.delete(BY_KIND[kind], obsolete)
            self.applier.forget_child((owner.namespace, owner.name), kind, name)
            await events.record(self.client, manifest, EventReason.DELETED, f"{kind} {name} was of no use any more")
        cutover = decision.state.under_way
        phase = cutover.phase.value if cutover else ""
        for effect in decision.effects:
            self.crash.reach(Moment.BEFORE, phase, effect.name)
            refused = await self._carry_out(manifest, owner, effect, seen, access)
            refusal = refusal or refused
            self.crash.reach(Moment.AFTER, phase, effect.name)
        # What was refused has done nothing: it is told, and not tried again without a pause.
        urgent = refusal is None and any(effect.name in URGENT for effect in decision.effects)
        return Performed(refusal, again=urgent)

    async def _carry_out(
        self, manifest: Object, owner: Owner, effect: Effect, seen: Observation, access: Access
    ) -> Verdict | None:
        if isinstance(effect, Apply):
            objects = tuple(_guarded(wanted, seen) for wanted in effect.objects) if effect.guarded else effect.objects
            return await self._apply_all(manifest, owner, objects, seen)
        if isinstance(effect, Scale):
            name = effect.deployment["metadata"]["name"]
            log.info("scaling", effect=effect.name, deployment=name, replicas=effect.replicas)
            await self.client.scale(BY_KIND["Deployment"], effect.deployment, effect.replicas)
        elif isinstance(effect, MoveFence):
            await self._move_fence(manifest, owner, effect, access)
        else:
            answers = await access.engines.drain(effect.pods, effect.epoch, effect.seconds)
            log.info("draining", pods=answers)
        return None

    async def _apply_all(
        self, manifest: Object, owner: Owner, objects: Iterable[Object], seen: Observation
    ) -> Verdict | None:
        """Apply each; one that fails for now keeps no other from being put right. Returns the first refusal."""
        refusal: Verdict | None = None
        failure: ApiError | None = None
        for desired in objects:
            try:
                refused = await self._apply(manifest, owner, desired, seen)
            except UnreachableError:
                raise
            except ApiError as error:
                failure = failure or error
            else:
                refusal = refusal or refused
        if failure:
            raise failure
        return refusal

    async def _apply(self, manifest: Object, owner: Owner, desired: Object, seen: Observation) -> Verdict | None:
        kind, name = desired["kind"], desired["metadata"]["name"]
        scope = (owner.namespace, owner.name)
        live = seen.children.get((kind, name))
        try:
            applied, _ = await self.applier.apply(scope, BY_KIND[kind], desired, live, owner.uid)
        except ForeignObjectError as error:
            return Verdict(Reason.NAME_TAKEN, error.message, stalled=True)
        except ApiError as error:
            if error.code not in {400, 403, 422}:
                raise
            quota = "exceeded quota" in error.message
            reason = Reason.QUOTA_EXCEEDED if quota else Reason.REQUEST_REFUSED
            return Verdict(reason, f"the API server refuses {kind} {name}: {error.message}", stalled=True)
        if applied is Applied.TERMINATING:
            return Verdict(
                Reason.TERMINATING, f"{kind} {name} is still being deleted; it is made again once it is gone"
            )
        if applied is not Applied.UNCHANGED:
            log.info("applied", kind=kind, name=name, outcome=applied.value)
        if applied in _LOUD:
            await events.record(self.client, manifest, EventReason.REPAIRED, f"{kind} {name} {_LOUD[applied]}")
        return None

    async def _move_fence(self, manifest: Object, owner: Owner, effect: MoveFence, access: Access) -> None:
        moved = await fence.move(
            access.database,
            access.database_password,
            owner,
            effect.executors,
            effect.known_epoch,
            effect.cutover,
            expected_epoch=effect.expected_epoch,
        )
        said = f"the database names {', '.join(moved.executors)} as executor since epoch {moved.epoch}"
        log.info("fence moved", executors=moved.executors, epoch=moved.epoch, cutover=moved.cutover)
        await events.record(self.client, manifest, EventReason.FENCE_MOVED, said)


def _guarded(wanted: Object, seen: Observation) -> Object:
    """The object as it is wanted, refused by the API server (409) if the live one has changed since it was seen."""
    live = seen.child(wanted["kind"], wanted["metadata"]["name"])
    if live is None:
        return wanted
    metadata = {**wanted["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
    return {**wanted, "metadata": metadata}
