"""The program: what it prints, and what ends it at once, without a graceful shutdown."""

import os
import sys
from typing import Any, NoReturn

import pytest
import yaml
from rtx_operator.api.kinds import KINDS
from rtx_operator.cluster.lease import LeadershipLostError
from rtx_operator.cluster.watched import VersionsWentBackError
from rtx_operator.main import run, run_or_die


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


def test_definitions_of_all_kinds_are_printed_as_documents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rtx-operator", "crd"])

    run()

    printed = yaml.safe_load_all(capsys.readouterr().out)
    assert [one["spec"]["names"]["kind"] for one in printed] == [kind.name for kind in KINDS]
