"""The three cutovers of the demo and their outcomes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rtx_traffic.stages import Stage

from .cutovers import ROLLED_BACK, SUCCEEDED, Cutover

FIRST, NEXT, BROKEN = "1.0.0", "1.1.0", "1.2.0-broken"


@dataclass(frozen=True)
class Step:
    """A change of spec.version and the phase in which its cutover must end."""

    name: str
    version: str
    ends: str
    broken: bool = False  # the version fails requests on purpose
    to_previous: bool = False  # the version is in status.previous, so the cutover is a switch


STEPS = (
    Step("upgrade", NEXT, SUCCEEDED),
    Step("rollback", BROKEN, ROLLED_BACK, broken=True),
    Step("back", FIRST, SUCCEEDED, to_previous=True),
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a step."""

    step: Step
    changed_at: float  # Unix seconds, comparable with the load's clocks
    took_s: float  # from the change of spec.version to the end of the cutover
    cutover: Cutover  # in its final phase

    @property
    def kept(self) -> bool:
        return self.cutover.phase == self.step.ends

    @property
    def wrong(self) -> str:
        """A sentence when the cutover ended in an unexpected phase, else empty."""
        if self.kept:
            return ""
        why = f" ({self.cutover.reason}: {self.cutover.message})" if self.cutover.reason else ""
        return f"The cutover to {self.step.version} ended in {self.cutover.phase} instead of {self.step.ends}{why}."


def stages(outcomes: Sequence[Outcome], *, started_at: float) -> list[Stage]:
    """The stages of a run that began at `started_at` (Unix seconds): one per step, and `before` the first."""
    starts = [float("-inf"), *(outcome.changed_at - started_at for outcome in outcomes)]
    ends = [*starts[1:], float("inf")]
    names = ["before", *(outcome.step.name for outcome in outcomes)]
    broken = ["", *(outcome.step.version if outcome.step.broken else "" for outcome in outcomes)]
    return [Stage(*values) for values in zip(names, starts, ends, broken, strict=True)]
