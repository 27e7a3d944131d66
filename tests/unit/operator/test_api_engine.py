"""A TradingEngine as it is read from the API server."""

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


def test_what_is_left_out_has_its_default() -> None:
    engine = TradingEngine.parse(_manifest())

    assert (engine.namespace, engine.name, engine.generation, engine.deleting) == ("trading", "rtx", 2, False)
    assert engine.spec.database.storage == "50Gi"
    assert engine.spec.cache.storage == "10Gi"
    assert engine.spec.deletion_policy is DeletionPolicy.RETAIN
    assert engine.status.active is None


def test_an_amount_that_yaml_reads_as_a_number_is_text_again() -> None:
    engine = TradingEngine.parse(_manifest(resources={"limits": {"cpu": 2}}))

    assert engine.spec.resources.limits.cpu == "2"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"version": None}, "spec.version"),
        ({"scaling": {"maxReplicas": 99}}, "spec.scaling.maxReplicas"),
        ({"broker": {"executionMode": "ABook"}}, "spec.broker.executionMode"),
        ({"newerThanThisOperator": 1}, "spec.newerThanThisOperator"),
    ],
)
def test_an_object_of_another_schema_is_refused_by_one_sentence_that_names_the_field(
    spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidSpecError) as refusal:
        TradingEngine.parse(_manifest(**spec))

    assert str(refusal.value).startswith(f"{field}: ")
    assert "\n" not in str(refusal.value)


def test_a_status_is_remembered() -> None:
    active = {"colour": "green", "version": "1.0.0", "configHash": "c", "revision": "p", "epoch": 4}

    engine = TradingEngine.parse({**_manifest(), "status": {"active": active, "observedGeneration": 2}})

    assert engine.status.active is not None
    assert (engine.status.active.colour, engine.status.active.epoch) == (Colour.GREEN, 4)


@pytest.mark.parametrize("status", [{"active": {"colour": "red"}}, {"conditions": "none"}])
def test_a_status_that_cannot_be_read_is_forgotten_and_the_spec_is_not(status: dict[str, Any]) -> None:
    engine = TradingEngine.parse({**_manifest(), "status": status})

    assert engine.status.active is None
    assert engine.spec.version == "1.0.0"


def test_a_field_of_a_later_status_does_not_make_the_rest_unreadable() -> None:
    engine = TradingEngine.parse({**_manifest(), "status": {"observedGeneration": 2, "later": {}}})

    assert engine.status.observed_generation == 2


def test_a_spec_cannot_be_changed() -> None:
    engine = TradingEngine.parse(_manifest())

    with pytest.raises(ValidationError):
        engine.spec.version = "2.0.0"


def test_a_cutover_that_cannot_be_read_does_not_make_the_active_colour_forgotten() -> None:
    # given a status whose cutover is in a phase of a later operator
    active = {"colour": "green", "version": "1.1.0", "configHash": "c", "revision": "h", "epoch": 4}
    status = {"active": active, "cutover": {"id": "x", "phase": "Later"}}

    # when it is read
    engine = TradingEngine.parse({**_manifest(), "status": status})

    # then the colour that runs is known: blue is not installed over it
    assert engine.status.active is not None
    assert engine.status.active.colour is Colour.GREEN
    assert engine.status.cutover is None
