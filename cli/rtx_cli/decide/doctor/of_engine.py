"""Findings in the engine's own object: conditions, operations, what the operator has not seen."""

from collections.abc import Iterator
from datetime import timedelta

from rtx_operator.api.enums import Component, ConditionType, CutoverPhase, Reason
from rtx_operator.api.names import OPERATOR, Label

from rtx_cli.decide.doctor.findings import Evidence, Finding, Severity
from rtx_cli.decide.engine import Condition, Engine

_WHERE = "TradingEngine"
# An operator that serves an engine reads a change within seconds.
_UNSEEN_AFTER = timedelta(seconds=30)
# As long as a phase without a deadline may last before somebody should look.
_LONG = timedelta(minutes=10)


def of_operator(evidence: Evidence) -> Iterator[Finding]:
    """Whether an operator serves the engine."""
    engine = evidence.engine
    if evidence.operators is not None and not evidence.operators:
        yield Finding(
            Severity.WARNING,
            "operator",
            f"no Deployment here has the label {Label.APP}={OPERATOR}: without an operator engines serve on, and "
            "nobody repairs or upgrades them",
            "unless it runs under another name, install it: `kubectl apply --server-side -k manifests/operator`",
        )
    for one in evidence.operators or ():
        meta, status = one["metadata"], one.get("status") or {}
        if not status.get("readyReplicas"):
            yield Finding(
                Severity.PROBLEM,
                f"Deployment {meta['namespace']}/{meta['name']}",
                "no pod of the operator is ready",
                f"kubectl logs -n {meta['namespace']} deploy/{meta['name']} says what it waits for",
            )
    if engine.observed_generation >= engine.generation or _age(evidence) < _UNSEEN_AFTER:
        return
    label = engine.labels.get(Label.OPERATOR.value)
    remedy = "look at the operator's pods and their log, mostly in the namespace rtx-system"
    if label:
        remedy = f"its label {Label.OPERATOR} is {label}: run an operator with OPERATOR_CLASS={label}, or remove it"
    yield Finding(Severity.PROBLEM, _WHERE, "no operator has read the newest spec", remedy)


def of_conditions(evidence: Evidence) -> Iterator[Finding]:
    """What the operator itself reports, in its own words."""
    engine = evidence.engine
    stalled, ready = engine.condition(ConditionType.STALLED), engine.condition(ConditionType.READY)
    if stalled and stalled.holds:
        yield _told(Severity.PROBLEM, stalled, _remedy(engine, stalled))
    is_told = stalled is not None and stalled.holds and ready is not None and ready.message == stalled.message
    if ready and not ready.holds and not is_told:
        yield _told(Severity.PROBLEM, ready, "")
    disputed = engine.condition(ConditionType.DISPUTED)
    if disputed and disputed.holds:
        yield _told(Severity.WARNING, disputed, "")
    up_to_date = engine.condition(ConditionType.UP_TO_DATE)
    if up_to_date and up_to_date.holds and up_to_date.reason == Reason.REFRESH_AVAILABLE:
        yield Finding(
            Severity.NOTE,
            _WHERE,
            up_to_date.message,
            f"`kubectl tradingengine refresh {engine.name}`, when it suits you",
        )


def of_operations(evidence: Evidence) -> Iterator[Finding]:
    """Operations that are stuck, and pauses that last."""
    engine, now = evidence.engine, evidence.now
    if engine.paused:
        yield Finding(
            Severity.WARNING,
            _WHERE,
            "it is paused: nothing of it is repaired or upgraded",
            f"`kubectl tradingengine resume {engine.name}`",
        )
        return
    for one in engine.under_way:
        lasted = now - one.since if one.since else timedelta()
        if one.deadline is None and lasted >= _LONG:
            yield Finding(
                Severity.WARNING,
                f"{one.kind} {one.title}",
                f"it has been {one.phase} for {int(lasted.total_seconds() // 60)} minutes"
                + (f": {one.message}" if one.message else ""),
                _remedy_of_phase(engine, one.phase),
            )
    if engine.status.get("earlierData"):
        yield Finding(
            Severity.WARNING,
            "database",
            "it shows an earlier state of its data: it was restored, or a replica that lagged took over",
            "compare what is missing with what clients were told; docs/runbook.md, Restore the database",
        )
    previous = engine.previous
    if previous and previous.message:
        yield Finding(Severity.NOTE, f"version {previous.version}", f"it is kept for longer: {previous.message}")


def _told(severity: Severity, condition: Condition, remedy: str) -> Finding:
    return Finding(severity, f"condition {condition.type}", f"{condition.message} ({condition.reason})", remedy)


def _remedy(engine: Engine, stalled: Condition) -> str:
    failed = any((engine.status.get(one.value) or {}).get("failed") for one in (Component.DATABASE, Component.CACHE))
    if stalled.reason == Reason.REJECTED or failed:
        return f"correct the cause, then `kubectl tradingengine retry {engine.name}`; or change spec"
    return f"docs/runbook.md has the reason {stalled.reason}"


def _remedy_of_phase(engine: Engine, phase: str) -> str:
    if phase == CutoverPhase.MONITORING:
        return f"send it traffic, or take it back: `kubectl tradingengine abort {engine.name}`"
    if phase == CutoverPhase.ROLLING_BACK:
        return "make the old version's pods come up: the rollback goes on by itself"
    return ""


def _age(evidence: Evidence) -> timedelta:
    """Since the engine was created, or last changed as far as its conditions tell."""
    created = evidence.engine.created
    return evidence.now - created if created else _UNSEEN_AFTER
