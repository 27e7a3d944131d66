"""Carries out a decision: applies, deletes, scales, moves the fence. What is refused is reported, not raised."""

from dataclasses import dataclass

import structlog

from rtx_operator.api.enums import Reason
from rtx_operator.cluster import events, fence
from rtx_operator.cluster.apply import Applied, Applier, ForeignObjectError
from rtx_operator.cluster.client import ApiError, Client, Object, UnreachableError
from rtx_operator.cluster.events import EventReason
from rtx_operator.cluster.resources import BY_KIND
from rtx_operator.decide import Decision, MoveFence, Verdict
from rtx_operator.observation import Observation, Owner

log = structlog.get_logger(__name__)

_LOUD = {
    Applied.REPAIRED: "had been changed and was put right",
    Applied.RECREATED: "had been deleted and was made again",
}


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of a decision. `again`: it did something whose result is to be observed at once."""

    refusal: Verdict | None
    again: bool


@dataclass(frozen=True, slots=True)
class Performer:
    """Acts on one API server and on the engines' databases."""

    client: Client
    applier: Applier

    async def perform(
        self,
        manifest: Object,
        owner: Owner,
        decision: Decision,
        seen: Observation,
        database: tuple[fence.Address, str],
    ) -> Performed:
        """Carry out `decision` about the TradingEngine `manifest`; `database` is the fence's address and password.

        Raises ApiError when the API server fails or has moved on (then everything is observed again), and
        fence.FenceUnreachableError or fence.DatabaseInUseError when the fence cannot be moved.
        """
        refusal: Verdict | None = None
        failure: ApiError | None = None
        for desired in decision.apply:
            try:
                refused = await self._apply(manifest, owner, desired, seen)
            except UnreachableError:
                raise
            except ApiError as error:
                failure = failure or error  # one object that fails for now keeps no other from being put right
            else:
                refusal = refusal or refused
        if failure:
            raise failure
        for obsolete in decision.delete:
            kind, name = obsolete["kind"], obsolete["metadata"]["name"]
            await self.client.delete(BY_KIND[kind], obsolete)
            self.applier.forget_child((owner.namespace, owner.name), kind, name)
            await events.record(self.client, manifest, EventReason.DELETED, f"{kind} {name} was of no use any more")
        if decision.scale:
            await self.client.scale(BY_KIND["Deployment"], decision.scale.deployment, decision.scale.replicas)
        if decision.move_fence:
            await self._move_fence(manifest, owner, decision.move_fence, database)
        return Performed(refusal, again=bool(decision.move_fence))

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

    async def _move_fence(
        self, manifest: Object, owner: Owner, effect: MoveFence, database: tuple[fence.Address, str]
    ) -> None:
        address, password = database
        moved = await fence.move(address, password, owner, effect.executors, effect.known_epoch, effect.cutover)
        said = f"the database names {', '.join(moved.executors)} as executor since epoch {moved.epoch}"
        log.info("fence moved", executors=moved.executors, epoch=moved.epoch)
        await events.record(self.client, manifest, EventReason.FENCE_MOVED, said)
