"""The whole decision, put together from its parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rtx_operator.api.engine import TradingEngine
from rtx_operator.api.enums import OperationName
from rtx_operator.api.status import Active, DatabaseCluster
from rtx_operator.decision.apply import objects_to_apply
from rtx_operator.decision.backups import BackupState, backup_state
from rtx_operator.decision.cache import without_cache
from rtx_operator.decision.context import DecisionContext
from rtx_operator.decision.database import (
    database_cluster,
    database_effects,
    database_redundant,
    database_waits,
    strays_to_replace,
)
from rtx_operator.decision.earlier_data import earlier_data_hold, with_earlier_data
from rtx_operator.decision.fence import fence_to_move, fence_to_update
from rtx_operator.decision.install import BEFORE_OPERATIONS, READY
from rtx_operator.decision.keep import applied_by, data_to_keep
from rtx_operator.decision.pause import where_it_stands
from rtx_operator.decision.prune import objects_to_prune
from rtx_operator.decision.sizes import active_size, below_size, kept_size
from rtx_operator.desired.state import DesiredState
from rtx_operator.observation import Object, Observation, replicas
from rtx_operator.operations.arbiter import advance, moving, traffic_waits, with_starts
from rtx_operator.operations.effects import URGENT, Apply, Delete, Effect, EffectName, Evict, KeepData, MoveFence
from rtx_operator.operations.machine import OperationInput, Phase, Step
from rtx_operator.operations.pause import paused, resumed
from rtx_operator.operations.state import PersistedState
from rtx_operator.results import Unmet, Waiting, first_unmet


@dataclass(frozen=True, slots=True)
class Decision:
    """What to carry out, what status is to remember, and what is reported.

    `unready` is what keeps the engine from being ready, `waits` what the operation under way waits for; None: nothing.
    `entered` is the phase that an operation enters with this decision. `ready` is (desired, ready) engine pods.
    `below_size` is what keeps the engine from that many; None: nothing. `without_cache` is what keeps the cache from
    running, which is not what makes an engine unready once it has served; None: nothing.
    `pause` says where a paused engine stands; empty: it is not paused. `keep` is what keeps the data of what is not
    applied.
    """

    apply: tuple[Object, ...]
    delete: tuple[Object, ...]
    effects: tuple[Effect, ...]
    unready: Unmet | None
    state: PersistedState
    entered: Phase | None
    waits: Unmet | None
    ready: tuple[int, int]
    backups: BackupState
    below_size: Waiting | None = None
    without_cache: Unmet | None = None
    keep: tuple[KeepData, ...] = ()
    replace: tuple[Evict, ...] = ()  # pods of database and cache that serve nobody
    database_waits: Waiting | None = None  # why the database is not as spec asks yet, without a maintenance
    cluster: DatabaseCluster | None = None  # the servers of the database
    redundant: Unmet | None = None  # what keeps several servers of the database from being redundant
    pause: str = ""
    is_blind: bool = False  # the database has not answered; its answer wakes the next reconcile
    is_whole: bool = True  # all that was asked has answered; else the answers wake the next reconcile
    is_news: bool = False  # status will say more than before, and what is desired depends on that
    effects_first: bool = False  # traffic waits for them: no child's repair keeps them waiting

    def commands(self) -> Iterator[Effect]:
        """Everything to carry out, in this order.

        Nothing beside a move of the fence or the Service: the children's upkeep was decided on what it changes.
        """
        if self.is_urgent:
            yield from self.effects
        else:
            yield from (*self.effects, *self.upkeep) if self.effects_first else (*self.upkeep, *self.effects)

    @property
    def upkeep(self) -> tuple[Effect, ...]:
        """What keeps the children as desired, whatever operation runs, and whether or not its effects succeed."""
        repair = (Apply(EffectName.REPAIR, self.apply),) if self.apply else ()
        prune = (Delete(EffectName.PRUNE, self.delete),) if self.delete else ()
        return (*self.keep, *repair, *self.replace, *prune)

    @property
    def outdates_answers(self) -> bool:
        """Whether databases and pods are to be asked anew: not after an apply that is repeated while a phase lasts."""
        repeated = (isinstance(effect, Apply) and not effect.guarded for effect in self.effects)
        return self.entered is not None or not all(repeated)

    @property
    def is_urgent(self) -> bool:
        """Whether the result of an effect is to be observed at once."""
        return any(effect.name in URGENT for effect in self.effects)


def decide(
    engine: TradingEngine, desired: DesiredState, seen: Observation, now: datetime, operation_id: str
) -> Decision:
    """The decision about one observation; of a paused engine what is reported, and nothing but what keeps its data.

    `operation_id` names an operation that begins now.
    """
    engine = engine if engine.spec.paused else resumed(engine, now)
    engine = with_earlier_data(DecisionContext(engine, desired, seen, now))
    context = DecisionContext(engine, desired, seen, now)
    unready = first_unmet(context, READY)
    ready = replicas(seen.child(desired.engine.kind, desired.engine.name))
    if engine.spec.paused:
        return _of_paused(context, unready, ready, now)
    held = first_unmet(context, BEFORE_OPERATIONS)
    given = OperationInput(engine, desired, seen, now, operation_id, held.message if held else "")
    step = advance(given)
    apply, effects = objects_to_apply(context), _effects(context, step)
    state = _state(context, step, unready)
    return Decision(
        apply=apply,
        delete=objects_to_prune(context),
        effects=(*effects, *fence_to_update(context), *database_effects(context)),
        replace=strays_to_replace(context),
        database_waits=database_waits(context),
        cluster=database_cluster(context),
        redundant=database_redundant(context),
        effects_first=traffic_waits(context.state),
        is_blind=context.is_blind,
        is_whole=seen.is_whole,
        unready=unready,
        state=state,
        is_news=state.says_more_than(PersistedState.of(engine.status)),
        entered=step.entered,
        waits=step.waits,
        ready=ready,
        backups=backup_state(context),
        below_size=below_size(context),
        without_cache=without_cache(context),
        keep=_data_to_keep(context, apply, effects),
    )


def _of_paused(context: DecisionContext, unready: Unmet | None, ready: tuple[int, int], now: datetime) -> Decision:
    state = with_starts(paused(context.state, now), context.desired)
    return Decision(
        apply=(),
        delete=(),
        effects=(),
        unready=unready,
        state=state,
        entered=None,
        waits=None,
        ready=ready,
        backups=backup_state(context),
        below_size=below_size(context),
        without_cache=without_cache(context),
        keep=_data_to_keep(context, (), ()),
        pause=where_it_stands(context, state.paused_since or now),
        is_blind=context.is_blind,
        is_whole=context.seen.is_whole,
        cluster=database_cluster(context),
        redundant=database_redundant(context),
    )


def _data_to_keep(
    context: DecisionContext, apply: tuple[Object, ...], effects: tuple[Effect, ...]
) -> tuple[KeepData, ...]:
    seen, applied = context.seen, applied_by(apply, effects, context.seen.refusals)
    return data_to_keep(context.engine.spec.deletion_policy, seen.children.values(), context.engine.uid, applied)


_TOUCHES_NO_COLOUR = frozenset({OperationName.MAINTENANCE, OperationName.RESTORE})


def _effects(context: DecisionContext, step: Step) -> tuple[Effect, ...]:
    """Who executes is corrected before anything else is done; a cutover that moves the fence itself does it its way."""
    active = step.state.active
    turns = active is not None and active.colour is not context.desired.active.colour  # with this very decision
    if turns or any(isinstance(effect, MoveFence) for effect in step.effects):
        return step.effects
    if move := fence_to_move(context):
        return (move,)
    if context.serves_unknown:
        return step.effects  # of a maintenance: no colour is touched
    if earlier_data_hold(context):
        return step.effects if moving(step.state) in _TOUCHES_NO_COLOUR else ()
    rests = moving(context.state) is None and step.entered is None
    kept = kept_size(context, step.state) if rests else ()
    return (*active_size(context), *kept, *step.effects)


def _state(context: DecisionContext, step: Step, unready: Unmet | None) -> PersistedState:
    """A colour becomes active when all checks are passed; from then on only its epoch follows the database."""
    active, fence, revision = step.state.active, context.fence, context.desired.active.revision
    epoch = fence.epoch if fence and context.owner.owns(fence) else 0
    if active is not None:
        return step.state.with_active(active.model_copy(update={"epoch": max(active.epoch, epoch)}))
    if unready is not None:
        return step.state
    first = Active(
        colour=context.desired.active.colour,
        version=revision.version,
        image=revision.image,
        digest=revision.digest,
        config_hash=revision.config_hash,
        revision=revision.hash,
        epoch=epoch,
    )
    return step.state.with_active(first)
