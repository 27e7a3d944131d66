"""Parsing a TradingEngine of the API server."""

from typing import Any

import pytest
from pydantic import ValidationError
from rtx_operator.api.engine import InvalidSpecError, TradingEngine
from rtx_operator.api.enums import Colour, DeletionPolicy


def _manifest(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "trading", "name": "rtx", "uid": "u", "resourceVersion": "7", "generation": 2},
        "spec": {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}, **spec},
    }


def test_omitted_field_has_its_default() -> None:
    engine = TradingEngine.parse(_manifest())

    assert (engine.namespace, engine.name, engine.generation, engine.deleting) == ("trading", "rtx", 2, False)
    assert engine.spec.database.storage == "50Gi"
    assert engine.spec.cache.storage == "10Gi"
    assert engine.spec.deletion_policy is DeletionPolicy.RETAIN
    assert engine.status.active is None


@pytest.mark.parametrize(
    ("written", "text"), [(2, "2"), (0.5, "0.5"), ("0.25", "0.25"), ("1500m", "1500m"), (0.001, "0.001")]
)
def test_cores_may_be_written_as_a_number(written: object, text: str) -> None:
    engine = TradingEngine.parse(_manifest(resources={"limits": {"cpu": written}}))

    assert engine.spec.resources.limits.cpu == text


@pytest.mark.parametrize("written", [0, "0", "0m", "0.000", 0.0001, -1, True, {}, [], "2Gi", "1.5m", "", "1 ", 1e21])
def test_cores_that_are_none_are_refused(written: object) -> None:
    with pytest.raises(InvalidSpecError, match=r"^spec.resources.limits.cpu: must be cores, such as 500m, 0.5 or 2; "):
        TradingEngine.parse(_manifest(resources={"limits": {"cpu": written}}))


def test_request_of_more_cores_than_the_limit_is_refused() -> None:
    resources = {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}

    with pytest.raises(InvalidSpecError, match=r"^spec.resources: requests.cpu must not be above limits.cpu"):
        TradingEngine.parse(_manifest(resources=resources))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"version": None}, "spec.version"),
        ({"scaling": {"maxReplicas": 99}}, "spec.scaling.maxReplicas"),
    ],
)
def test_invalid_spec_error_is_one_line_that_names_the_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpecError) as refusal:
        TradingEngine.parse(_manifest(**spec))

    assert str(refusal.value).startswith(f"{field}: ")
    assert "\n" not in str(refusal.value)


def test_status_is_parsed() -> None:
    active = {"colour": "green", "version": "1.0.0", "configHash": "c", "revision": "p", "epoch": 4}

    engine = TradingEngine.parse({**_manifest(), "status": {"active": active, "observedGeneration": 2}})

    assert engine.status.active is not None
    assert (engine.status.active.colour, engine.status.active.epoch) == (Colour.GREEN, 4)


def test_spec_is_immutable() -> None:
    engine = TradingEngine.parse(_manifest())

    with pytest.raises(ValidationError):
        engine.spec.version = "2.0.0"
