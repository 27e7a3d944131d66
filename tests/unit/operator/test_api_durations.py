"""Durations in Kubernetes' notation, and the rollout's defaults and bounds."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rtx_operator.api.schema import format_duration, parse_duration
from rtx_operator.api.spec import Rollout, TradingEngineSpec


@pytest.mark.parametrize(
    ("written", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("0s", timedelta()),
        ("1m1m", timedelta(minutes=2)),
    ],
)
def test_duration_is_parsed_as_go_parses_it(written: str, span: timedelta) -> None:
    assert parse_duration(written) == span


@pytest.mark.parametrize("written", ["", "30", "-1s", "1d", "1 h", "s", "1s ", "half an hour", "PT30S", "1.h", "1e3s"])
def test_invalid_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 30s"):
        parse_duration(written)


@given(st.integers(0, 10**9).map(lambda count: timedelta(milliseconds=count)))
def test_formatted_duration_parses_to_the_same_value(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


def test_empty_rollout_has_the_defaults() -> None:
    rollout = TradingEngineSpec.model_validate({"version": "1.2.0-broken", "image": {"repository": "a"}}).rollout

    assert rollout.model_dump(mode="json", by_alias=True) == {
        "strategy": "BlueGreen",
        "backup": {"mode": None, "timeout": "30m"},
        "smoke": [{"name": "health", "path": "/health"}, {"name": "symbols", "path": "/api/symbols"}],
        "migrationTimeout": "1h",
        "migrationResources": {
            "requests": {"cpu": None, "memory": None},
            "limits": {"cpu": None, "memory": None},
        },
        "readyTimeout": "10m",
        "drainTimeout": "30s",
        "monitor": {
            "duration": "5m",
            "maxErrorPercent": 1,
            "maxP99Milliseconds": 500,
            "minimumRequests": 200,
            "requireTraffic": False,
        },
        "keepPreviousFor": "1h",
    }
    assert rollout.monitor.duration == timedelta(minutes=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"readyTimeout": "29s"},
        {"readyTimeout": "1h1s"},
        {"drainTimeout": "999ms"},
        {"drainTimeout": "10m1s"},
        {"drainTimeout": 30},
        {"keepPreviousFor": "168h1s"},
        {"monitor": {"duration": "0s"}},
        {"monitor": {"duration": "61m"}},
        {"monitor": {"maxErrorPercent": 101}},
        {"monitor": {"maxP99Milliseconds": 0}},
        {"monitor": {"minimumRequests": 0}},
        {"smoke": []},
        {"smoke": [{"name": "one"}]},
    ],
)
def test_rollout_value_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rollout.model_validate(wrong)


@pytest.mark.parametrize("right", [{"drainTimeout": "1s"}, {"drainTimeout": "10m"}, {"keepPreviousFor": "0s"}])
def test_rollout_value_at_a_bound_is_accepted(right: dict[str, Any]) -> None:
    assert Rollout.model_validate(right).model_dump(mode="json", by_alias=True).items() >= right.items()
