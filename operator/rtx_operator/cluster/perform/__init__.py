"""Carries out a decision: one performer for each kind of effect.

Law: an effect is carried out in the order in which it was decided, and never more than was decided. What the API server
refuses is returned, not raised; what has changed since it was observed is raised, and everything is observed again.

Where traffic waits for the effects, the children's upkeep comes after them and gets a budget: a write that hangs, as
behind a webhook that is down, must not hold up the next move of the fence or the Service (ADR 0035).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, assert_never

import structlog

from rtx_operator.cluster import postgres
from rtx_operator.cluster.apply import Applier
from rtx_operator.cluster.client import Client, Object
from rtx_operator.cluster.crash import CrashHook, Moment
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.perform.database import move_fence, switch_log, update_fence
from rtx_operator.cluster.perform.objects import ObjectPerformer
from rtx_operator.cluster.perform.patroni import forget_cluster, switch_over
from rtx_operator.cluster.perform.refusals import Refusals
from rtx_operator.decision.decide import Decision
from rtx_operator.observation import Observation, Owner
from rtx_operator.operations.arbiter import running
from rtx_operator.operations.effects import (
    Apply,
    Delete,
    Drain,
    Effect,
    Evict,
    ForgetCluster,
    KeepData,
    MoveFence,
    Scale,
    SwitchLog,
    SwitchOver,
    UpdateFence,
    objects_of,
)
from rtx_operator.results import Unmet
from rtx_operator.workers import outside

UPKEEP_BUDGET_SECONDS = 2.0  # beside a switch; a healthy API server takes a tenth of it
UPKEEP_PAUSE_SECONDS = 15.0  # after an upkeep that exceeded it

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
    clock: Callable[[], float] = time.monotonic
    upkeep_budget: float = UPKEEP_BUDGET_SECONDS
    refusals: Refusals = field(default_factory=Refusals)
    _upkeep_hung: dict[tuple[str, str], float] = field(default_factory=dict)  # engine → when it exceeded its budget

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is kept of an engine that is gone."""
        self.applier.forget((namespace, name))
        self.refusals.forget((namespace, name))
        self._upkeep_hung.pop((namespace, name), None)

    async def perform(
        self, manifest: Object, owner: Owner, decision: Decision, seen: Observation, access: Access
    ) -> Unmet | None:
        """Carry out `decision` about the TradingEngine `manifest`; returns the first refusal, None without one.

        Raises ApiError when the API server fails or has moved on (then everything is observed again), and, when the
        fence cannot be moved, FenceUnreachableError, FenceChangedError or DatabaseInUseError of cluster.postgres.
        """
        phase = _phase(decision)

        async def carry_out(effects: Iterable[Effect]) -> Unmet | None:
            refusal: Unmet | None = None
            for effect in effects:
                self.crash.reach(Moment.BEFORE, phase, effect.name)
                refused = await self._carry_out(manifest, owner, effect, seen, access)
                refusal = refusal or refused
                self.crash.reach(Moment.AFTER, phase, effect.name)
            return refusal

        if not (decision.effects_first or decision.is_urgent):
            return await carry_out(decision.commands())
        try:
            refusal = await carry_out(decision.effects)
        except (postgres.FenceUnreachableError, postgres.DatabaseInUseError):
            await self._within_budget(owner, carry_out(decision.upkeep))
            raise
        if decision.is_urgent and refusal is None:
            return None  # it is observed at once, and that reconcile does the upkeep by what it observes
        return refusal or await self._within_budget(owner, carry_out(decision.upkeep))

    async def keep_data(self, manifest: Object, owner: Owner, effects: Iterable[KeepData]) -> Unmet | None:
        """Carry out all that is done about a TradingEngine that must not be touched otherwise. Raises ApiError."""
        objects = ObjectPerformer(self.client, self.applier, manifest, owner, self.refusals)
        refusal: Unmet | None = None
        for effect in effects:
            refused = await objects.keep_data(effect.objects)
            refusal = refusal or refused
        return refusal

    async def _within_budget(self, owner: Owner, upkeep: Coroutine[Any, Any, Unmet | None]) -> Unmet | None:
        """The children's upkeep beside a switch: given up when it takes too long, and then not tried for a while."""
        engine = (owner.namespace, owner.name)
        hung = self._upkeep_hung.get(engine)
        if hung is not None and self.clock() - hung < UPKEEP_PAUSE_SECONDS:
            upkeep.close()
            return None
        try:
            async with asyncio.timeout(self.upkeep_budget):
                refusal = await upkeep
        except TimeoutError:
            self._upkeep_hung[engine] = self.clock()
            # Not in status, where it would hide what the operation waits for.
            log.warning("a write of a child hangs; the upkeep waits", seconds=UPKEEP_PAUSE_SECONDS)
            return None
        self._upkeep_hung.pop(engine, None)
        return refusal

    async def _carry_out(
        self, manifest: Object, owner: Owner, effect: Effect, seen: Observation, access: Access
    ) -> Unmet | None:
        objects = ObjectPerformer(self.client, self.applier, manifest, owner, self.refusals)
        match effect:
            case Apply():
                return await objects.apply_all(objects_of(effect, seen), seen)
            case Delete():
                return await objects.delete_all(effect.objects)
            case Evict():
                return await objects.evict_all(effect.pods)
            case KeepData():
                return await objects.keep_data(effect.objects)
            case Scale():
                return await objects.scale(effect)
            case MoveFence() | UpdateFence() | SwitchLog():
                async with outside():
                    await self._ask_database(manifest, owner, effect, access)
            case SwitchOver() | ForgetCluster():
                await self._ask_patroni(manifest, owner, effect)
            case Drain():
                async with outside():
                    answers = await access.engines.drain(effect.pods, effect.epoch, effect.seconds)
                log.info("draining", pods=answers)
            case _:
                assert_never(effect)
        return None

    async def _ask_database(
        self, manifest: Object, owner: Owner, effect: MoveFence | UpdateFence | SwitchLog, access: Access
    ) -> None:
        match effect:
            case MoveFence():
                await move_fence(self.client, manifest, owner, effect, access.database, access.database_password)
            case UpdateFence():
                await update_fence(access.database, access.database_password)
            case SwitchLog():
                await switch_log(access.database, access.database_password)

    async def _ask_patroni(self, manifest: Object, owner: Owner, effect: SwitchOver | ForgetCluster) -> None:
        match effect:
            case SwitchOver():
                await switch_over(self.client, manifest, owner, effect)
            case ForgetCluster():
                await forget_cluster(self.client, owner, effect)


def _phase(decision: Decision) -> str:
    record = running(decision.state)
    return record.phase.value if record else ""
