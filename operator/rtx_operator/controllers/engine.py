"""The controller of TradingEngines."""

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from rtx_operator import measure
from rtx_operator.api.engine import InvalidSpecError, OperatorTooOldError, TradingEngine, UnknownActiveError
from rtx_operator.api.enums import CutoverPhase, DeletionPolicy
from rtx_operator.api.names import Names
from rtx_operator.cluster import events, postgres
from rtx_operator.cluster.client import ApiError, Client, Object
from rtx_operator.cluster.engine_pods import EnginePods
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.cluster.observe import Observer, operator_password, peer_secret
from rtx_operator.cluster.observe.backups import backups_with_news
from rtx_operator.cluster.observe.objects import EngineObjects, read_objects, watched_objects
from rtx_operator.cluster.perform import Access, Performer
from rtx_operator.cluster.resources import BACKUP, ENGINE, SECRET
from rtx_operator.controllers.base import Attempt, Controller, Key
from rtx_operator.controllers.clock import ObservationClock
from rtx_operator.controllers.slots import Slots, has_cutover_slot, has_slot
from rtx_operator.decision import conditions
from rtx_operator.decision.adoption import adopted
from rtx_operator.decision.backups import is_stale
from rtx_operator.decision.decide import Decision, decide
from rtx_operator.decision.events import events as events_between
from rtx_operator.decision.keep import data_to_keep
from rtx_operator.decision.outcome import Outcome, status_after
from rtx_operator.decision.requeue import requeue_after
from rtx_operator.desired import build
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Observation, Owner
from rtx_operator.operations.arbiter import freshness, may_rest, operates, queries, traffic_waits_by
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Unmet
from rtx_operator.settings import Settings
from rtx_operator.workers import Priority

log = structlog.get_logger(__name__)


class EngineController(Controller):
    """Reconciles TradingEngines of one operator class."""

    resource = ENGINE

    def __init__(
        self,
        client: Client,
        observer: Observer,
        performer: Performer,
        settings: Settings,
        *,
        fleet: Fleet | None = None,
        wake: Callable[[Key], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(client, settings.operator_class, now)
        self._observer = observer
        self._performer = performer
        self._fleet = fleet or Fleet()
        self._cutovers: Slots[Key] = Slots(settings.max_cutovers, wake)
        self._wake = wake
        self._settings = settings
        self._clock = clock
        self._slots: Slots[Key] = Slots(settings.max_maintenance)
        self._times = ObservationClock()
        self._resting: dict[Key, object] = {}  # what it was decided on that nothing is to be done

    def forget(self, key: Key) -> None:
        """Drop what is kept of an engine that is gone, or going, or not ours."""
        self._performer.forget(key.namespace, key.name)
        self._observer.forget(key.namespace, key.name, self._database(key.namespace, key.name))
        self._fleet.remove((key.namespace, key.name))
        self._slots.forget(key)
        self._times.forget(key)
        self._cutovers.forget(key)
        self._resting.pop(key, None)
        measure.forget(key.namespace, key.name)

    def priority(self, manifest: Object) -> Priority:
        """Urgent while traffic waits for the operator; routine while nobody waits for it, as far as is known."""
        status = manifest.get("status") or {}
        if traffic_waits_by(status):
            return Priority.URGENT
        return Priority.ROUTINE if conditions.is_at_rest(manifest) and not operates(status) else Priority.NORMAL

    async def rests(self, key: Key) -> float | None:
        """Seconds until the next reconcile of an engine at which nothing is to be done, by what the watches delivered.

        The decision is the same as ever; only when it comes to nothing, no request was needed for it (ADR 0036).
        """
        manifest = self._fleet.get((key.namespace, key.name))
        if manifest is None or not self._serves(manifest) or manifest["metadata"].get("deletionTimestamp"):
            return None
        for backup in backups_with_news(self._observer.read_cache.watched, (key.namespace, key.name)):
            self._wake(Key(BACKUP.kind, key.namespace, backup))
        now = self._now()
        try:
            engine = TradingEngine.parse(manifest)
            revision = self._observer.read_cache.watched.revision(engine.scope)
            objects = await self._watched(engine) if self._may_rest(engine) else None
            if objects is None:
                return None
            seen = await self._observe(engine, now, objects)
            disputes = self._performer.applier.disputes.of(engine.scope)
            ground = _ground(engine, seen, revision, disputes, now)
            if self._resting.get(key) == ground:
                return self._resync()
            engine = self._adopted(engine, seen, now)
            desired = build.build(engine, seen, self._settings, bytes(32), now)
        except (InvalidSpecError, OperatorTooOldError, UnknownActiveError, ApiError):
            return None  # the live reconcile says so in status
        before = manifest.get("status") or {}
        decision = decide(engine, desired, self._with_cutover_slot(engine, seen), now, "")  # takes no slot
        status = status_after(before, engine, desired, decision, Outcome(disputes=disputes), now)
        upkeep = decision.keep or decision.delete or not self._is_applied(engine, decision, seen)
        if decision.entered or decision.effects or upkeep or status not in (None, before):
            return None
        measure.state(key.namespace, key.name, before)  # of a paused engine a new leader reconciles nothing live
        resync = self._resync()
        due = requeue_after(decision, Outcome(), now=now, resync=resync)
        if due == resync and not decision.state.waits_for_time:  # until something changes, nothing is to be done
            self._resting[key] = ground
        return due

    def _adopted(self, engine: TradingEngine, seen: Observation, now: datetime) -> TradingEngine:
        return adopted(engine, seen, lambda: build.wanted_revision(engine, seen, self._settings), now)

    def _may_rest(self, engine: TradingEngine) -> bool:
        knows_slots = self._slots.is_loaded or not PersistedState.of(engine.status).waits_for_slot
        return may_rest(engine) and knows_slots

    async def _watched(self, engine: TradingEngine) -> EngineObjects | None:
        """None also while Secrets are to be generated: hashing a password takes longer than all the rest."""
        given, names = engine.spec.credentials_secret_ref, Names(engine.name)
        objects = await watched_objects(
            self._client, self._observer.read_cache, *engine.scope, given.name if given else ""
        )
        secrets_needed = (names.internal, *([] if given else [names.credentials]))
        known = objects is not None and all((SECRET.kind, name) in objects.children for name in secrets_needed)
        return objects if known else None

    def _is_applied(self, engine: TradingEngine, decision: Decision, seen: Observation) -> bool:
        def live(desired: Object) -> Object | None:
            return seen.children.get((desired["kind"], desired["metadata"]["name"]))

        applier = self._performer.applier
        return all(applier.is_applied(engine.scope, one, live(one)) for one in decision.apply)

    async def reconcile(self, attempt: Attempt) -> float:
        """Raises what the API server's client raises; then everything is observed again."""
        meta = attempt.manifest["metadata"]
        measure.state(meta["namespace"], meta["name"], attempt.before)
        self._note_slots(attempt.manifest)
        try:
            engine = TradingEngine.parse(attempt.manifest)
            await self._load_slots(engine)
            seen = await self._observe(engine, attempt.now)
            engine = self._adopted(engine, seen, attempt.now)
            desired = build.build(engine, seen, self._settings, secrets.token_bytes(32), attempt.now)
        except (InvalidSpecError, UnknownActiveError, OperatorTooOldError) as error:
            attempt.status = conditions.after_hands_off(attempt.before, attempt.generation, error, attempt.now)
            if refusal := await self._keep_data(attempt.manifest):
                attempt.status = conditions.after_hands_off(
                    attempt.before, attempt.generation, error, attempt.now, refusal
                )
            return self._settings.resync_seconds
        decision = self._decide(engine, desired, seen, attempt.now)

        def status(outcome: Outcome) -> Object | None:
            return status_after(attempt.before, engine, desired, decision, outcome, attempt.now)

        attempt.status = status(Outcome(is_stale=True))  # should nothing more come of it
        outcome = await self._perform(attempt.manifest, engine, seen, decision)
        disputes = self._performer.applier.disputes.of(engine.scope)
        attempt.status = status(replace(outcome, disputes=disputes))
        resync = self._resync()

        def due(decision: Decision) -> float:
            seconds = requeue_after(decision, outcome, now=attempt.now, resync=resync)
            return min([seconds, *(dispute.wait_seconds or seconds for dispute in disputes or ())])

        attempt.due_unstored = due(replace(decision, is_news=False))
        return due(decision)

    def _resync(self) -> float:
        """Spread, so that a thousand engines are not reconciled in the same second."""
        return self._settings.resync_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreading is no secret

    async def _observe(self, engine: TradingEngine, now: datetime, objects: EngineObjects | None = None) -> Observation:
        credentials = engine.spec.credentials_secret_ref
        seen = await self._observer.observe(
            engine.namespace,
            engine.name,
            credentials.name if credentials else "",
            self._database(engine.namespace, engine.name),
            queries(engine),
            freshness(engine),
            objects,
        )
        key = _key(engine)
        timed = self._times.timed(key, seen, now, self._clock())
        refusals = self._performer.refusals.of(engine.scope)
        return replace(timed, maintenance_slot=self._slots.may_take(key), refusals=refusals)

    def _note_slots(self, manifest: Object) -> None:
        """What the engine's stored status says: a slot that was taken, and of which no status was written, is free."""
        self._slots.note(_key_of(manifest), has_slot=has_slot(manifest))
        self._cutovers.note(_key_of(manifest), has_slot=has_cutover_slot(manifest))

    async def _load_slots(self, engine: TradingEngine) -> None:
        """Before the first slot for maintenance is asked for, note those of all engines. Raises ApiError."""
        if PersistedState.of(engine.status).waits_for_slot and not self._slots.is_loaded:
            namespaces = self._settings.watch_namespaces or ("",)
            listed = await asyncio.gather(*(self._client.list(ENGINE, namespace) for namespace in namespaces))
            served = [one for one in itertools.chain(*listed) if self._serves(one)]
            self._slots.load({_key_of(one): has_slot(one) for one in served})

    def _decide(self, engine: TradingEngine, desired: DesiredState, seen: Observation, now: datetime) -> Decision:
        """The decision. A slot that it takes is taken at once: nothing awaits between the observation and the note."""
        operation_id = f"{engine.spec.version[:48]}-{secrets.token_hex(4)}"
        decision = decide(engine, desired, self._with_cutover_slot(engine, seen), now, operation_id)
        self._slots.note(_key(engine), has_slot=decision.state.has_slot)
        self._cutovers.note(_key(engine), has_slot=decision.state.has_cutover_slot)
        return decision

    def _with_cutover_slot(self, engine: TradingEngine, seen: Observation) -> Observation:
        slots, key, state = self._cutovers, _key(engine), PersistedState.of(engine.status)
        if not slots.is_loaded and self._fleet.is_complete:
            slots.load({_key_of(one): has_cutover_slot(one) for one in self._fleet.manifests()})
        if state.cutover is None or state.cutover.phase is not CutoverPhase.PENDING:
            return seen
        is_free = slots.may_take(key)
        if not is_free:
            slots.wait(key)
        elsewhere = slots.elsewhere(key) if slots.is_loaded else None
        return replace(seen, cutover_slot=is_free, cutovers_elsewhere=elsewhere)

    async def _perform(self, manifest: Object, engine: TradingEngine, seen: Observation, decision: Decision) -> Outcome:
        """Carry out the decision. Raises what the API server's client raises."""
        names, address = Names(engine.name), self._database(engine.namespace, engine.name)
        access = Access(address, operator_password(seen.children, names), EnginePods(peer_secret(seen.children, names)))
        owner = Owner(engine.namespace, engine.name, engine.uid)
        if decision.outdates_answers:
            self._observer.outdate(engine.namespace, engine.name)
        try:
            refusal = await self._performer.perform(manifest, owner, decision, seen, access)
        except postgres.FenceChangedError as error:
            log.info("the fence has changed since it was observed; observing again", detail=str(error))
            return Outcome(is_stale=True)
        except postgres.FenceUnreachableError as error:
            return Outcome(interruption=conditions.database_unreachable(str(error)))
        except postgres.DatabaseInUseError as error:
            return Outcome(interruption=conditions.database_in_use(str(error)))
        return Outcome(refusal)

    async def _keep_data(self, manifest: Object) -> Unmet | None:
        """Have the data survive an engine that must not be touched otherwise; returns the first refusal.

        By its stored spec: nothing else of that may be readable. Raises ApiError.
        """
        meta, policy = manifest["metadata"], manifest["spec"].get("deletionPolicy")
        if policy != DeletionPolicy.RETAIN:
            return None
        owner = Owner(meta["namespace"], meta["name"], meta["uid"])
        objects = await read_objects(self._client, self._observer.read_cache, owner.namespace, owner.name, "")
        effects = data_to_keep(policy, objects.children.values(), owner.uid)
        return await self._performer.keep_data(manifest, owner, effects)

    def status_after_error(self, attempt: Attempt, error: Exception) -> Object:
        """What was decided stays decided; Reconciling says what failed."""
        message = str(error) or type(error).__name__
        return conditions.after_error(attempt.status or attempt.before, attempt.generation, message, attempt.now)

    async def wrote(self, before: Object, written: Object) -> None:
        """Emit the Events and the metrics of a change."""
        self._fleet.wrote(written)
        was, after = before.get("status") or {}, written.get("status") or {}
        for event in events_between(was, after):
            log.info("event", reason=event.reason, detail=event.message)
            await events.record(self._client, written, event.reason, event.message, warning=event.is_warning)
        measure.state(written["metadata"]["namespace"], written["metadata"]["name"], after)
        if was.get("cutover") != after.get("cutover"):
            measure.cutover(TradingEngine.parse(before), TradingEngine.parse(written))
        if was.get("restore") != after.get("restore"):
            measure.restore(TradingEngine.parse(before), TradingEngine.parse(written))
        if was.get("maintenance") != after.get("maintenance"):
            measure.maintenance(TradingEngine.parse(before), TradingEngine.parse(written))
        if was.get("retirement") != after.get("retirement"):
            measure.retirement(TradingEngine.parse(before), TradingEngine.parse(written))

    def _database(self, namespace: str, name: str) -> postgres.Address:
        host = self._settings.database_host.format(name=name, namespace=namespace)
        return postgres.Address(host, self._settings.database_port)


def _key(engine: TradingEngine) -> Key:
    return Key(ENGINE.kind, engine.namespace, engine.name)


def _key_of(manifest: Object) -> Key:
    return Key(ENGINE.kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _ground(engine: TradingEngine, seen: Observation, revision: int, disputes: object, now: datetime) -> object:
    """All that a decision about an engine at rest depends on; `revision` is that of its children.

    Of the time only what matters then: whether the newest backup is too old, and the day, for its certificates.
    """
    given = (seen.credentials or {}).get("metadata", {}).get("resourceVersion")
    answer = seen.database and replace(seen.database, age_seconds=0.0)
    timely = is_stale(engine, engine.status.backup, now), now.date()
    return engine.uid, engine.resource_version, revision, given, seen.orders_metric_served, answer, disputes, timely
