"""All checks, in order."""

from collections.abc import Callable, Iterator

from rtx_cli.decide.doctor import of_engine, of_objects
from rtx_cli.decide.doctor.findings import Evidence, Finding, Severity

CHECKS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    of_engine.of_operator,
    of_engine.of_conditions,
    of_engine.of_operations,
    of_objects.of_traffic,
    of_objects.of_pods,
    of_objects.of_volumes,
    of_objects.of_jobs,
    of_objects.of_scaling,
    of_objects.of_placement,
    of_objects.of_budgets,
    of_objects.of_events,
)

_ORDER = tuple(Severity)


def examine(evidence: Evidence) -> tuple[Finding, ...]:
    """What is wrong, the worst first."""
    found = [finding for check in CHECKS for finding in check(evidence)]
    if missing := ", ".join(evidence.unreadable):
        found.append(Finding(Severity.NOTE, "rights", f"not looked at, because you may not read it: {missing}"))
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.severity)))
