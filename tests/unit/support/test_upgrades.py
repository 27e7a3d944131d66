"""When an engine counts as reconciled."""

from typing import cast

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from rtx_operator.api.enums import ConditionStatus, ConditionType
from upgrades import Upgrades


class ChangedEngine:
    """An engine whose spec has just changed: its third read is the first that reports the new generation."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> Object:
        self.reads += 1
        observed = 2 if self.reads >= 3 else 1
        statuses = {ConditionType.READY: ConditionStatus.TRUE, ConditionType.RECONCILING: ConditionStatus.FALSE}
        conditions = [
            {"type": kind, "status": status, "observedGeneration": observed} for kind, status in statuses.items()
        ]
        return {"metadata": {"generation": 2}, "status": {"conditions": conditions, "observedGeneration": observed}}


def test_conditions_of_an_older_generation_do_not_count_as_reconciled() -> None:
    # Given a reconciled engine whose spec was changed.
    upgrades = Upgrades(cast("Engine", ChangedEngine()))

    # When a test waits until it is reconciled.
    status = upgrades.wait_until_reconciled(deadline=10)

    # Then the status is one that observed the changed spec.
    assert status["observedGeneration"] == 2
