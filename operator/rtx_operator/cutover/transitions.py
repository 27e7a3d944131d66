"""The cutover's phases and the only ways between them.

The law, which the table keeps and the tests check:

- A phase is left by an event, and only by one that its row names. What is not in the table does not happen.
- A terminal phase has no way out. A new cutover is a new record, not an old one that goes on.
- Before Switching everything that was made can be thrown away: the old colour has not noticed.
- From Switching to Monitoring each failure, lateness or change of mind leads to RollingBack, and RollingBack leads
  nowhere but to RolledBack: it waits as long as it takes, because there is nothing further to fall back to.
- From Promoting on there is no way back: the cutover has been judged, and going back is a cutover of its own.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from rtx_operator.api.enums import Phase


class Event(StrEnum):
    """What moves a cutover on. When several are true, the first of this order counts."""

    WITHDRAWN = "withdrawn"  # the spec asks for something else now
    KEPT = "kept"  # done, and the target is still warm from before: neither migration nor new pods are needed
    DONE = "done"  # all that the phase is for was seen to be true
    FAILED = "failed"  # it was seen that it cannot become true
    EXPIRED = "expired"  # neither, and the deadline has passed


class UnknownTransitionError(Exception):
    """A bug: an event that the phase's row does not name."""


_BACK: Mapping[Event, Phase] = {
    Event.WITHDRAWN: Phase.ROLLING_BACK,
    Event.FAILED: Phase.ROLLING_BACK,
    Event.EXPIRED: Phase.ROLLING_BACK,
}
_GIVEN_UP: Mapping[Event, Phase] = {
    Event.WITHDRAWN: Phase.ROLLED_BACK,
    Event.FAILED: Phase.FAILED,
    Event.EXPIRED: Phase.FAILED,
}

TRANSITIONS: Mapping[Phase, Mapping[Event, Phase]] = MappingProxyType({
    Phase.PENDING: {
        Event.WITHDRAWN: Phase.ROLLED_BACK,
        Event.KEPT: Phase.PROVISIONING,
        Event.DONE: Phase.MIGRATING,
    },
    Phase.BACKING_UP: {Event.DONE: Phase.MIGRATING, **_GIVEN_UP},
    Phase.MIGRATING: {Event.DONE: Phase.PROVISIONING, **_BACK},
    Phase.PROVISIONING: {Event.DONE: Phase.TESTING, **_BACK},
    Phase.TESTING: {Event.DONE: Phase.SWITCHING, **_BACK},
    Phase.AWAITING_APPROVAL: {Event.DONE: Phase.SWITCHING, **_BACK},
    Phase.SWITCHING: {Event.DONE: Phase.MONITORING, **_BACK},
    Phase.MONITORING: {Event.DONE: Phase.PROMOTING, **_BACK},
    Phase.PROMOTING: {Event.DONE: Phase.SUCCEEDED},
    Phase.ROLLING_BACK: {Event.DONE: Phase.ROLLED_BACK},
    Phase.SUCCEEDED: {},
    Phase.ROLLED_BACK: {},
    Phase.FAILED: {},
})  # fmt: skip

LATER = frozenset({Phase.BACKING_UP, Phase.AWAITING_APPROVAL, Phase.FAILED})  # seats: nothing leads there yet


def following(phase: Phase, event: Event) -> Phase:
    """The phase after `event`. Raises UnknownTransitionError."""
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise UnknownTransitionError(f"{phase} knows no event {event}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram, seats left out. docs/architecture.md holds it; a test compares."""
    return "\n".join(["stateDiagram-v2", "    [*] --> Pending", *_arrows()])


def _arrows() -> Iterator[str]:
    for phase, ways in TRANSITIONS.items():
        if phase in LATER:
            continue
        for target in dict.fromkeys(ways.values()):
            events = ", ".join(event for event, to in ways.items() if to is target)
            yield f"    {phase} --> {target}: {events}"
        if phase.is_terminal:
            yield f"    {phase} --> [*]"
