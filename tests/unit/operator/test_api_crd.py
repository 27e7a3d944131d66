"""The CRD and the reference: generated from the models, with only what the API server accepts."""

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


def test_committed_crd_equals_the_generated_one() -> None:
    committed = (ROOT / "crds" / crd.file_name(TRADING_ENGINE)).read_text()

    assert committed == crd.render(), "the models changed: run `make crds` and commit crds/"


def test_committed_reference_equals_the_generated_one() -> None:
    committed = (ROOT / "docs" / reference.FILE).read_text()

    assert committed == reference.render(), "the models changed: run `make crds` and commit docs/reference.md"


def test_schema_has_no_keyword_that_kubernetes_refuses() -> None:
    for path, schema in _schemas(SCHEMA):
        refused = {"$ref", "$defs", "const", "title", "exclusiveMinimum", "propertyNames"} & schema.keys()

        assert not refused, path
        assert schema.get("type") != "null", path
        assert "additionalProperties" not in schema or isinstance(schema["additionalProperties"], dict), path


def test_every_field_has_a_description() -> None:
    for path, schema in _schemas(SCHEMA):
        for name, field in schema.get("properties", {}).items():
            standard = path == "" and name in {"apiVersion", "kind", "metadata"}
            assert standard or path == ".metadata" or field.get("description"), f"{path}.{name}"


def test_strings_with_rules_arrays_and_maps_have_maximum_sizes() -> None:
    # The API server estimates the cost of validation rules from these bounds.
    for path, schema in _schemas(SCHEMA):
        if path.startswith(".metadata"):
            continue  # bounded by the API server
        rules = "x-kubernetes-validations" in schema
        assert not (rules and schema.get("type") == "string") or "maxLength" in schema or "default" in schema, path
        assert schema.get("type") != "array" or "maxItems" in schema, path
        assert "additionalProperties" not in schema or "maxProperties" in schema, path


def test_no_spec_field_that_a_rule_can_read_has_a_pattern() -> None:
    # The API server's error for a pattern shows only the regular expression; a rule has a message.
    spec = _schemas(SCHEMA["properties"]["spec"])
    patterns = [path for path, schema in spec if "pattern" in schema and "type" in schema]

    assert patterns == []


def test_optional_text_that_a_rule_checks_says_to_leave_it_out() -> None:
    # Charts write "" for what their users leave out; a rule about names or units does not tell them what to do.
    spec = SCHEMA["properties"]["spec"]
    checked = {
        f"{path}.{name}": field["x-kubernetes-validations"][0]
        for path, schema in _schemas(spec)
        for name, field in schema.get("properties", {}).items()
        if name not in schema.get("required", []) and field.get("type") != "object"
        if "x-kubernetes-validations" in field and ("maxLength" in field or "default" in field)
        if field.get("type") in {"string", None}
    }

    assert {".image.digest", ".database.storageClassName", ".database.storage", ".rollout.drainTimeout"} <= set(checked)
    assert {name for name, rule in checked.items() if rule != crd.NOT_EMPTY} == set()


def test_no_text_has_a_default_that_its_own_rule_refuses() -> None:
    # The API server refuses such a CRD as a whole.
    for path, schema in _schemas(SCHEMA):
        assert not (schema.get("default") == "" and crd.NOT_EMPTY in schema.get(crd.VALIDATIONS, [])), path


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_valid(sample: Path) -> None:
    spec = yaml.safe_load(sample.read_text())["spec"]

    assert TradingEngineSpec.model_validate(spec).version == spec["version"]
    assert list(_fields_of(spec, SCHEMA["properties"]["spec"], "spec"))  # raises KeyError for a field that is none


def test_production_sample_sets_every_spec_field() -> None:
    sample = yaml.safe_load((ROOT / "manifests/samples/trading-engine-production.yaml").read_text())

    shown = set(_fields_of(sample["spec"], SCHEMA["properties"]["spec"], "spec"))

    assert shown == {f"spec{path}".replace("[]", "") for path in _leaves(SCHEMA["properties"]["spec"])}


def test_description_ends_with_bounds_and_default() -> None:
    rollout = SCHEMA["properties"]["spec"]["properties"]["rollout"]["properties"]
    errors = rollout["monitor"]["properties"]["maxErrorPercent"]

    assert errors["description"].endswith("rolls back. From 0 to 100. Default: 1.")
    assert rollout["drainTimeout"]["description"].endswith("From 1s to 10m. Default: 30s.")
    assert not [path for path, schema in _schemas(SCHEMA) if any(key.startswith("x-rtx-") for key in schema)]


def _schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, schema) of the schema and of all schemas inside it."""
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
