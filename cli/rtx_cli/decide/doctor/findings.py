"""What doctor looks at, and what it finds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rtx_cli.decide.children import KINDS, Children
from rtx_cli.decide.engine import Engine, Object

# All of them can be listed with the role view.
EXAMINED_KINDS = (
    *KINDS,
    "services",
    "endpointslices.discovery.k8s.io",
    "poddisruptionbudgets.policy",
)


class Severity(StrEnum):
    """How much a finding matters."""

    PROBLEM = "problem"  # somebody must act
    WARNING = "warning"  # it serves, and may not for long, or not as well as it should
    NOTE = "note"  # good to know


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, where it is, and what to do about it."""

    severity: Severity
    where: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read. `operators` are the operator's Deployments; None: they may not be read."""

    engine: Engine
    children: Children
    warnings: tuple[Object, ...]  # Events of type Warning in the namespace
    operators: tuple[Object, ...] | None
    now: datetime

    @property
    def unreadable(self) -> Iterator[str]:
        yield from self.children.unreadable
        if self.operators is None:
            yield "the operator's Deployment"
