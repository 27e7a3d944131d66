"""Which event of a TradingEngine is news."""

from typing import Any

import pytest
from rtx_operator.cluster.fleet import Fleet
from rtx_operator.observation import Object

SCOPE = ("trading", "rtx")


def engine(version: int, *, status: Any = None, spec: Any = "1.0.0", annotations: Any = None) -> Object:
    meta = {"namespace": "trading", "name": "rtx", "uid": "u", "resourceVersion": str(version), "generation": 1}
    fields = [{"manager": "kubectl", "time": str(version)}]
    return {
        "metadata": {**meta, "annotations": annotations or {}, "managedFields": fields},
        "spec": {"version": spec},
        "status": status or {},
    }


@pytest.fixture
def fleet() -> Fleet:
    """A fleet of one engine, in version 5."""
    fleet = Fleet()
    assert fleet.put(engine(5))
    return fleet


@pytest.mark.parametrize(
    "changed", [{"spec": "1.1.0"}, {"annotations": {"rtx-trading.com/retry": "1"}}, {"status": {"pods": "0/2"}}]
)
def test_change_by_others_is_news(fleet: Fleet, changed: Any) -> None:
    assert fleet.put(engine(6, **changed))


def test_own_status_write_is_no_news_when_its_event_comes(fleet: Fleet) -> None:
    fleet.wrote(engine(6, status={"pods": "2/2"}))  # the API server's response

    assert not fleet.put(engine(6, status={"pods": "2/2"}))


def test_new_version_with_the_same_content_is_no_news(fleet: Fleet) -> None:
    assert not fleet.put(engine(6))


def test_older_version_is_no_news_and_changes_nothing(fleet: Fleet) -> None:
    assert not fleet.put(engine(4, spec="0.9.0"))

    found = fleet.get(SCOPE)
    assert found is not None
    assert (found["spec"]["version"], found["metadata"]["resourceVersion"]) == ("1.0.0", "5")


def test_late_response_to_a_write_brings_no_deleted_engine_back(fleet: Fleet) -> None:
    fleet.remove(SCOPE)

    fleet.wrote(engine(6, status={"pods": "2/2"}))

    assert fleet.get(SCOPE) is None


def test_engine_that_is_gone_and_created_again_is_news(fleet: Fleet) -> None:
    fleet.remove(SCOPE)

    assert fleet.get(SCOPE) is None
    assert fleet.put(engine(5))
