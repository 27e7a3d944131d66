"""What the operator must remember of an engine's colours: the part of its status that decisions rest on."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from rtx_operator.api.enums import Phase, PreviousState, Reason
from rtx_operator.api.status import (
    HISTORY_LIMIT,
    Active,
    Cutover,
    HistoryEntry,
    Previous,
    Rejected,
    Release,
    TradingEngineStatus,
)
from rtx_operator.cutover.transitions import Event, following

# Phases in which the new colour is the active one: the live Service names it, and it is judged or has been.
SWITCHED = frozenset({Phase.MONITORING, Phase.PROMOTING, Phase.SUCCEEDED})
# Phases in which the new colour is the one to execute.
EXECUTING = SWITCHED | {Phase.SWITCHING}


@dataclass(frozen=True, slots=True)
class PersistedState:
    """Frozen: each step gives the next one."""

    active: Active | None = None
    cutover: Cutover | None = None
    previous: Previous | None = None
    rejected: Rejected | None = None
    history: tuple[HistoryEntry, ...] = ()

    @classmethod
    def of(cls, status: TradingEngineStatus) -> Self:
        return cls(status.active, status.cutover, status.previous, status.rejected, tuple(status.history))

    @property
    def under_way(self) -> Cutover | None:
        """The cutover, unless it is over."""
        return self.cutover if self.cutover and not self.cutover.phase.is_terminal else None

    def begin(self, cutover_id: str, to: Release, now: datetime) -> "PersistedState":
        """A cutover from the active colour to `to`."""
        if self.active is None:
            raise ValueError("nothing is installed yet")
        active = self.active
        from_ = Release(colour=active.colour, version=active.version, revision=active.revision)
        cutover = Cutover(
            id=cutover_id,
            phase=Phase.PENDING,
            since=now,
            from_=from_,  # type: ignore[call-arg]  # pydantic takes a field by its name too, which mypy does not see
            to=to,
            started_at=now,
        )
        return replace(self, cutover=cutover, rejected=None)

    def note(self, **fields: object) -> "PersistedState":
        """Something more is known of the cutover under way."""
        if self.cutover is None or all(getattr(self.cutover, name) == value for name, value in fields.items()):
            return self
        return replace(self, cutover=self.cutover.model_copy(update=fields))

    def says_more_than(self, other: "PersistedState") -> bool:
        """Whether it remembers anything else than `other`, what is waited for aside."""
        return self.note(message="") != other.note(message="")

    def after(
        self, event: Event, now: datetime, deadline: timedelta | None, reason: str, message: str
    ) -> "PersistedState":
        """The cutover has moved on by `event`. `reason` and `message` say why, when it goes back."""
        cutover = self.cutover
        if cutover is None:
            raise ValueError("no cutover is under way")
        phase = following(cutover.phase, event)
        seconds = {**cutover.seconds, cutover.phase: round((now - cutover.since).total_seconds(), 3)}
        goes_back = phase is Phase.ROLLING_BACK or (phase.is_terminal and event is Event.WITHDRAWN)
        moved = cutover.model_copy(
            update={
                "phase": phase,
                "since": now,
                "deadline": now + deadline if deadline else None,
                "seconds": seconds,
                "reason": reason if goes_back else cutover.reason,
                "message": message,
            }
        )
        return replace(self, cutover=moved)

    def with_active(self, active: Active) -> "PersistedState":
        return replace(self, active=active)

    def with_previous(self, previous: Previous | None) -> "PersistedState":
        return replace(self, previous=previous)

    def retiring(self) -> "PersistedState":
        """The previous colour is about to be taken away."""
        if self.previous is None:
            raise ValueError("no colour is kept")
        return replace(self, previous=self.previous.model_copy(update={"state": PreviousState.RETIRING}))

    def with_rejected(self, retry: str) -> "PersistedState":
        """What the cutover went to is not tried again by itself, unless somebody only changed their mind."""
        cutover = self.cutover
        if cutover is None or cutover.reason == Reason.SUPERSEDED:
            return self
        to = cutover.to
        rejected = Rejected(
            revision=to.revision, version=to.version, reason=cutover.reason, message=cutover.message, retry=retry
        )
        return replace(self, rejected=rejected)

    def recorded(self, now: datetime) -> "PersistedState":
        """The cutover, which is over, goes into the history."""
        cutover = self.cutover
        if cutover is None:
            raise ValueError("there is no cutover to record")
        past = HistoryEntry(
            id=cutover.id,
            from_version=cutover.from_.version,
            to_version=cutover.to.version,
            result=cutover.phase,
            started_at=cutover.started_at,
            ended_at=now,
            fenced_at=cutover.fenced_at,
            switched_at=cutover.switched_at,
            restored_at=cutover.restored_at,
            reason=cutover.reason,
            message=cutover.message if cutover.reason else "",
            seconds=cutover.seconds,
        )
        return replace(self, history=(past, *self.history)[:HISTORY_LIMIT])
