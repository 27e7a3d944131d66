"""Brings one TradingEngine about: observe, decide, carry out, say so. The one truth for create, update, resume,
children's events and resync alike: it never asks what happened, only what is.
"""

import asyncio
import math
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from rtx_operator import measure, requeue, status
from rtx_operator.api.engine import InvalidSpecError, TradingEngine
from rtx_operator.api.enums import Reason
from rtx_operator.api.names import Label, Names
from rtx_operator.cluster import events
from rtx_operator.cluster import postgres as fence
from rtx_operator.cluster.client import Client, ConflictError, Object
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.observe import Observer, operator_password, peer_secret
from rtx_operator.cluster.perform import Access, Performed, Performer
from rtx_operator.cluster.resources import ENGINE
from rtx_operator.cutover.queries import queries
from rtx_operator.cutover.state import PersistedState
from rtx_operator.decide import Decision, Verdict, decide
from rtx_operator.desired import build
from rtx_operator.metrics import RECONCILE_SECONDS
from rtx_operator.observation import Owner
from rtx_operator.settings import Settings

RECONCILE_DEADLINE_SECONDS = 60.0  # seconds
IMMEDIATELY = 0.0  # seconds
OBSERVATION_GAP_SECONDS = 20.0  # seconds without a whole look, after which what passed meanwhile proves nothing

log = structlog.get_logger(__name__)


class OutdatedDefinitionError(Exception):
    """The API server does not keep what we must remember of a cutover, so none is begun."""

    def __str__(self) -> str:
        return "the CustomResourceDefinition on this cluster is older than the operator; apply crds/ of its release"


class Key(NamedTuple):
    """A TradingEngine."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Reconciles engines of one operator class."""

    client: Client
    observer: Observer
    performer: Performer
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    looked: dict[Key, float] = field(default_factory=dict)  # when each engine was last seen whole, by `clock`

    async def __call__(self, key: Key) -> float | None:
        """One reconcile; returns the seconds until the next look, None for an engine that is not (or no more) ours."""
        with RECONCILE_SECONDS.time(), structlog.contextvars.bound_contextvars(engine=f"{key.namespace}/{key.name}"):
            async with asyncio.timeout(RECONCILE_DEADLINE_SECONDS):
                engine = await self.client.get(ENGINE, *key)
                if engine is None or not self._serves(engine):
                    self.performer.applier.forget(key)
                    self.observer.forget(*key, self._database(key))
                    self.looked.pop(key, None)
                    measure.forget(*key)
                    return None
                if engine["metadata"].get("deletionTimestamp"):
                    return None  # the garbage collector does the rest, by owner references
                return await self._reconcile(engine)

    def _database(self, key: Key) -> fence.Address:
        host = self.settings.database_host.format(name=key.name, namespace=key.namespace)
        return fence.Address(host, self.settings.database_port)

    def _serves(self, engine: Object) -> bool:
        return bool(engine["metadata"].get("labels", {}).get(Label.OPERATOR, "") == self.settings.operator_class)

    async def _reconcile(self, manifest: Object) -> float:
        before, generation, now = manifest.get("status") or {}, manifest["metadata"]["generation"], self.now()
        try:
            engine = TradingEngine.parse(manifest)
            after, due = await self._bring_about(manifest, engine, now)
        except InvalidSpecError as error:
            verdict = Verdict(Reason.INVALID_SPEC, str(error), stalled=True)
            after, due = status.after_verdict(before, generation, verdict, now), self.settings.resync_seconds
        except fence.FenceChangedError as error:
            log.info("the fence has changed meanwhile, looking again", said=str(error))
            return IMMEDIATELY
        except (fence.FenceUnreachableError, fence.DatabaseInUseError) as error:
            used = isinstance(error, fence.DatabaseInUseError)
            reason = Reason.DATABASE_IN_USE if used else Reason.DATABASE_UNREACHABLE
            verdict = Verdict(reason, str(error), stalled=used)
            after, due = status.after_verdict(before, generation, verdict, now), requeue.UNREACHABLE
        except ConflictError:
            raise  # what is to be said follows from what is true now, and that is read again at once
        except Exception as error:
            await self._say(manifest, status.after_failure(before, generation, f"{error}; trying again", now))
            raise
        if after is not None:
            await self._say(manifest, after)
        return due

    async def _bring_about(self, manifest: Object, engine: TradingEngine, now: datetime) -> tuple[Object | None, float]:
        """The status to write and the seconds until the next look.

        No status where that look comes at once and there is nothing to remember until then.
        """
        spec, names, key = engine.spec, Names(engine.name), Key(engine.namespace, engine.name)
        address = self._database(key)
        credentials = spec.credentials_secret_ref.name if spec.credentials_secret_ref else ""
        seen = await self.observer.observe(*key, credentials, address, queries(engine))
        seen = replace(seen, observed_recently=self.clock() - self.looked.get(key, -math.inf) < OBSERVATION_GAP_SECONDS)
        self.looked[key] = self.clock()
        desired = build.build(engine, seen, self.settings, secrets.token_bytes(32))
        decision = decide(engine, desired, seen, now, f"{engine.spec.version[:48]}-{secrets.token_hex(4)}")
        access = Access(address, operator_password(seen.children, names), EnginePods(peer_secret(seen.children, names)))
        owner = Owner(engine.namespace, engine.name, engine.uid)
        performed = await self.performer.perform(manifest, owner, decision, seen, access)
        if performed.again and not decision.state.says_more_than(PersistedState.of(engine.status)):
            return None, IMMEDIATELY
        after = status.after_decision(manifest.get("status") or {}, engine, desired, decision, performed.refusal, now)
        return after, self._due(decision, performed, now)

    def _due(self, decision: Decision, performed: Performed, now: datetime) -> float:
        """Seconds until the next look."""
        if performed.again or decision.entered:
            return IMMEDIATELY
        # Spread, so that a thousand engines are not looked at in the same second.
        resync = self.settings.resync_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreading is no secret
        return requeue.requeue_after(decision, refused=performed.refusal is not None, now=now, resync=resync)

    async def _say(self, manifest: Object, after: Object) -> None:
        """Write the status if it says anything new, and tell changes of Ready and of the cutover as Events."""
        before = manifest.get("status") or {}
        if after == before:
            return
        written = await self.client.replace(ENGINE, {**manifest, "status": after}, "status")
        if "cutover" in after and "cutover" not in (written.get("status") or {}):
            raise OutdatedDefinitionError
        was, (ready, reason, message) = status.ready_condition(before), status.ready_condition(after)
        if was[:2] != (ready, reason):
            log.info("ready condition changed", ready=ready, reason=reason, detail=message)
            await events.record(self.client, written, reason, message, warning=status.is_stalled(after))
        if told := status.cutover_event(before, after):
            log.info("cutover", reason=told.reason, detail=told.message)
            await events.record(self.client, written, told.reason, told.message, warning=told.warning)
        if before.get("cutover") != after.get("cutover"):
            measure.cutover(TradingEngine.parse(manifest), TradingEngine.parse(written))
