"""What of an engine can be retried."""

from dataclasses import dataclass

from rtx_operator.api.enums import Component, OperationName, RetirementPhase

from rtx_cli.decide.engine import Engine
from rtx_cli.exits import CliError


@dataclass(frozen=True, slots=True)
class Failed:
    """What the retry annotation tries again."""

    kind: OperationName
    what: str


def failed(engine: Engine) -> Failed:
    """What failed, in the order in which a person waits for it. Raises CliError."""
    if rejected := engine.rejected:
        return Failed(OperationName.CUTOVER, f"the cutover to version {rejected.get('version', '')}")
    for component in (Component.DATABASE, Component.CACHE):
        if (engine.status.get(component.value) or {}).get("failed"):
            return Failed(OperationName.MAINTENANCE, f"the maintenance of the {component}")
    retirement = engine.retirement
    if retirement and retirement.phase == RetirementPhase.FAILED:
        return Failed(OperationName.RETIREMENT, f"the retirement of version {retirement.target}")
    raise CliError(f"nothing of {engine.name} was rolled back or has failed, so there is nothing to retry")
