"""Carries out a decision: one performer for each kind of effect.

Law: an effect is carried out in the order in which it was decided, and never more than was decided. What the API server
refuses is returned, not raised; what has changed since it was observed is raised, and everything is observed again.
"""

from dataclasses import dataclass
from typing import assert_never

import structlog

from rtx_operator.cluster import postgres
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.crash import CrashHook, Moment
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.perform.database import move_fence
from rtx_operator.cluster.perform.objects import ObjectPerformer
from rtx_operator.decision.decide import Decision
from rtx_operator.observation import Observation, Owner
from rtx_operator.operations.effects import Apply, Delete, Drain, Effect, KeepData, MoveFence, Scale, objects_of
from rtx_operator.results import Unmet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach what stands behind one engine besides the API server."""

    database: postgres.Address
    database_password: str
    engines: EnginePods


@dataclass(frozen=True, slots=True)
class Performer:
    """Acts on one API server, on the engines' databases and on their pods."""

    client: Client
    applier: Applier
    crash: CrashHook

    async def perform(
        self, manifest: Object, owner: Owner, decision: Decision, seen: Observation, access: Access
    ) -> Unmet | None:
        """Carry out `decision` about the TradingEngine `manifest`; returns the first refusal, None without one.

        Raises ApiError when the API server fails or has moved on (then everything is observed again), and, when the
        fence cannot be moved, FenceUnreachableError, FenceChangedError or DatabaseInUseError of cluster.postgres.
        """
        refusal: Unmet | None = None
        phase = _phase(decision)
        for effect in decision.commands():
            self.crash.reach(Moment.BEFORE, phase, effect.name)
            refused = await self._carry_out(manifest, owner, effect, seen, access)
            refusal = refusal or refused
            self.crash.reach(Moment.AFTER, phase, effect.name)
        return refusal

    async def _carry_out(
        self, manifest: Object, owner: Owner, effect: Effect, seen: Observation, access: Access
    ) -> Unmet | None:
        objects = ObjectPerformer(self.client, self.applier, manifest, owner)
        match effect:
            case Apply():
                return await objects.apply_all(objects_of(effect, seen), seen)
            case Delete():
                await objects.delete_all(effect.objects)
            case KeepData():
                return await objects.keep_data(effect.objects)
            case Scale():
                await objects.scale(effect)
            case MoveFence():
                await move_fence(self.client, manifest, owner, effect, access.database, access.database_password)
            case Drain():
                answers = await access.engines.drain(effect.pods, effect.epoch, effect.seconds)
                log.info("draining", pods=answers)
            case _:
                assert_never(effect)
        return None


def _phase(decision: Decision) -> str:
    record = decision.state.cutover_under_way or decision.state.retirement_under_way
    return record.phase.value if record else ""
