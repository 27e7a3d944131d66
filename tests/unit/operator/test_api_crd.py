"""The CRD and the reference are what the models say, in the dialect that the API server takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rtx_operator.api import crd, reference
from rtx_operator.api.kinds import TRADING_ENGINE
from rtx_operator.api.spec import TradingEngineSpec

ROOT = Path(__file__).parents[3]
SCHEMA = crd.definition(TRADING_ENGINE)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SAMPLES = sorted((ROOT / "manifests/samples").glob("trading-*.yaml"))


def test_the_committed_crd_is_the_one_that_the_models_give() -> None:
    committed = (ROOT / "crds" / crd.file_name(TRADING_ENGINE)).read_text()

    assert committed == crd.render(), "the models changed: run `make crds` and commit crds/"


def test_the_committed_reference_is_the_one_that_the_models_give() -> None:
    committed = (ROOT / "docs" / reference.FILE).read_text()

    assert committed == reference.render(), "the models changed: run `make crds` and commit docs/reference.md"


def test_the_schema_has_nothing_that_kubernetes_does_not_take() -> None:
    for path, schema in _schemas(SCHEMA):
        foreign = {"$ref", "$defs", "const", "title", "exclusiveMinimum", "propertyNames"} & schema.keys()

        assert not foreign, path
        assert schema.get("type") != "null", path
        assert "additionalProperties" not in schema or isinstance(schema["additionalProperties"], dict), path


def test_every_field_is_described() -> None:
    for path, schema in _schemas(SCHEMA):
        for name, field in schema.get("properties", {}).items():
            known_to_all = path == "" and name in {"apiVersion", "kind", "metadata"}
            assert known_to_all or path == ".metadata" or field.get("description"), f"{path}.{name}"


def test_what_rules_look_at_is_bounded_so_that_their_cost_is() -> None:
    for path, schema in _schemas(SCHEMA):
        if path.startswith(".metadata"):
            continue  # bounded by the API server
        rules = "x-kubernetes-validations" in schema
        assert not (rules and schema.get("type") == "string") or "maxLength" in schema or "default" in schema, path
        assert schema.get("type") != "array" or "maxItems" in schema, path
        assert "additionalProperties" not in schema or "maxProperties" in schema, path


def test_no_string_is_refused_by_a_regular_expression_alone() -> None:
    patterns = [path for path, schema in _schemas(SCHEMA["properties"]["spec"]) if "pattern" in schema]

    assert patterns == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_fits_the_models(sample: Path) -> None:
    spec = yaml.safe_load(sample.read_text())["spec"]

    assert TradingEngineSpec.model_validate(spec).version == spec["version"]


def test_the_production_sample_shows_every_field() -> None:
    sample = yaml.safe_load((ROOT / "manifests/samples/trading-engine-production.yaml").read_text())

    shown = set(_fields_of(sample["spec"], SCHEMA["properties"]["spec"], "spec"))

    assert shown == {f"spec{path}".replace("[]", "") for path in _leaves(SCHEMA["properties"]["spec"])}


def test_a_description_ends_with_bounds_and_default() -> None:
    rollout = SCHEMA["properties"]["spec"]["properties"]["rollout"]["properties"]
    errors = rollout["monitor"]["properties"]["maxErrorPercent"]

    assert errors["description"].endswith("rolls back. From 0 to 100. Default: 1.")
    assert rollout["drainTimeout"]["description"].endswith("From 1s to 10m. Default: 30s.")
    assert not [path for path, schema in _schemas(SCHEMA) if any(key.startswith("x-rtx-") for key in schema)]


def _schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and all inside it, with their paths."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from _schemas(field, f"{path}.{name}")
    if "items" in schema:
        yield from _schemas(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _schemas(schema["additionalProperties"], f"{path}{{}}")


def _leaves(schema: dict[str, Any]) -> Iterator[str]:
    for path, inner in _schemas(schema):
        if "properties" not in inner and "properties" not in inner.get("items", {}) and not path.endswith(("{}", "[]")):
            yield path


def _fields_of(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """The leaves of the schema that a manifest sets."""
    if isinstance(value, list) and "properties" in schema["items"]:
        for item in value:
            yield from _fields_of(item, schema["items"], path)
    elif "properties" in schema:
        for name, inner in value.items():
            yield from _fields_of(inner, schema["properties"][name], f"{path}.{name}")
    else:
        yield path
