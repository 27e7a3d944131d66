"""What a check returns when it is not passed: one vocabulary for the chains of the installation and of operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rtx_operator.api.enums import Reason

Context = TypeVar("Context")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not true yet: time is all it takes. `reason` is None where the operation that waits has one of its own.

    `is_endless`: spec asks to wait for it however long it takes, so no deadline passes meanwhile.
    """

    message: str
    reason: Reason | None = None
    is_endless: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Not true, and time does not help: an operation takes its way out, and outside of one a person is needed."""

    message: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Dispute:
    """Another manager changes a child again and again. `managers` is empty when they are unknown."""

    kind: str
    name: str
    managers: tuple[str, ...]
    wait_seconds: float  # until the operator restores it


Unmet = Waiting | Failure
Check = Callable[[Context], Unmet | None]


def first_unmet(context: Context, checks: tuple[Check[Context], ...]) -> Unmet | None:
    """The result of the first check that is not passed; None when all are."""
    return next((unmet for check in checks if (unmet := check(context))), None)


def worst_unmet(context: Context, checks: tuple[Check[Context], ...]) -> Unmet | None:
    """The first Failure of all checks, else the first Waiting; None when all are passed."""
    found = [unmet for check in checks if (unmet := check(context))]
    return next((unmet for unmet in found if isinstance(unmet, Failure)), found[0] if found else None)
