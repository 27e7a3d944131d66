"""When an engine is at rest."""

from typing import cast

from rtx_demo.engine import Engine
from rtx_demo.kubectl import Object
from upgrades import Upgrades


class ChangedEngine:
    """One whose spec has just been changed; the operator sees it at the third look."""

    def __init__(self) -> None:
        self.looks = 0

    def read(self) -> Object:
        self.looks += 1
        seen = 2 if self.looks >= 3 else 1
        told = {"Ready": "True", "Reconciling": "False"}
        conditions = [{"type": kind, "status": said, "observedGeneration": seen} for kind, said in told.items()]
        return {"metadata": {"generation": 2}, "status": {"conditions": conditions, "observedGeneration": seen}}


def test_an_engine_is_at_rest_only_once_the_operator_has_seen_its_spec() -> None:
    # given an engine at rest whose spec was changed, when it is waited for, then the old word does not count
    status = Upgrades(cast("Engine", ChangedEngine())).settle(deadline=10)
    assert status["observedGeneration"] == 2
