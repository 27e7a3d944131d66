"""What ends the process at once, without a graceful shutdown."""

import os
from typing import Any, NoReturn

import pytest
from rtx_operator.cluster.lease import LeadershipLostError
from rtx_operator.cluster.watched import VersionsWentBackError
from rtx_operator.main import run_or_die


async def raising(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        LeadershipLostError("another replica holds the Lease"),
        VersionsWentBackError("a list is older than one before"),
        KeyError("a bug"),
    ],
)
async def test_replica_that_must_not_act_any_more_exits(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)

    await run_or_die(raising(error))

    assert exits == [1]
