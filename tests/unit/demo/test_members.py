"""Which of a database's servers is the primary, and whether all are together."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from rtx_demo import members
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError


def pod(name: str, role: str = "", *, streams: bool = False, ready: bool = True, going: bool = False) -> dict[str, Any]:
    state = {"replication_state": "streaming"} if streams else {}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {members.ROLE_LABEL: role} if role else {},
            "annotations": {"status": json.dumps(state)},
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}),
        },
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def engine_of(*pods: dict[str, Any]) -> Engine:
    kubectl: Any = SimpleNamespace(list=lambda *_: list(pods))
    return Engine(kubectl, "rtx", "rtx-trading")


def test_primary_is_the_one_that_is_labelled() -> None:
    engine = engine_of(pod("b", "replica"), pod("c", "primary"), pod("a", "replica"))

    assert members.primary(engine).name == "c"
    assert [member.name for member in members.standbys(engine)] == ["a", "b"]


@pytest.mark.parametrize(
    ("pods", "names"),
    [([pod("a", "replica"), pod("b")], "none"), ([pod("a", "primary"), pod("b", "primary")], "a, b")],
)
def test_none_or_two_primaries_are_an_error(pods: list[dict[str, Any]], names: str) -> None:
    with pytest.raises(DemoError, match=f"must have one primary, and has {names}"):
        members.primary(engine_of(*pods))


@pytest.mark.parametrize(
    ("pods", "formed"),
    [
        ([pod("a", "primary"), pod("b", "replica", streams=True), pod("c", "replica", streams=True)], True),
        ([pod("a", "primary"), pod("b", "replica", streams=True), pod("c", "replica")], False),
        ([pod("a", "primary"), pod("b", "replica", streams=True)], False),
        ([pod("a", "primary"), pod("b", "primary"), pod("c", "replica", streams=True)], False),
        ([pod("a", "primary", ready=False), pod("b", "replica", streams=True), pod("c", "x", streams=True)], False),
        ([pod("a", "primary", going=True), pod("b", "primary"), pod("c", "replica", streams=True)], False),
    ],
)
def test_servers_are_together_when_all_follow_one(pods: list[dict[str, Any]], formed: bool) -> None:
    assert members.is_formed(engine_of(*pods), 3) is formed
