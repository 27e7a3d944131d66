"""Wrong TradingEngines are refused by the API server or get a condition; the message says what to do.

Prints a table of the mistakes and their messages.
"""

import copy
import json
import re
import secrets
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_support import Cluster, Engine
from rtx_operator.api.enums import ConditionStatus, ConditionType, Reason

CASES = yaml.safe_load(Path(__file__).with_name("refusals.yaml").read_text())
ACCEPTED = yaml.safe_load(Path(__file__).with_name("accepted.yaml").read_text())


@pytest.fixture(scope="module")
def messages(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, str]]]:
    """Collects pairs of a mistake and its message, and prints them after the module's last test."""
    collected: list[tuple[str, str]] = []
    yield collected
    width = max((len(mistake) for mistake, _ in collected), default=0)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{'a TradingEngine with':{width}}  ends in")
        for mistake, message in collected:
            print(f"{mistake:{width}}  {message}")


@pytest.fixture(scope="module")
def home(cluster: Cluster) -> Iterator[str]:
    """A namespace for engines that no operator serves."""
    name = f"test-refusals-{secrets.token_hex(4)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["wrong"])
def test_wrong_engine_is_refused_with_a_plain_message(
    case: dict[str, Any], cluster: Cluster, home: str, messages: list[tuple[str, str]]
) -> None:
    # Given a valid engine, which is applied first when the mistake is an edit.
    manifest = _engine(home)
    if "before" in case:
        manifest = _merged(manifest, {"spec": case["before"]})
        assert _apply(cluster, manifest) is None

    # When the wrong engine is applied.
    message = _apply(cluster, _merged(manifest, {"spec": case["spec"]} if "spec" in case else case["whole"]))

    # Then it is refused with a sentence, not with a regular expression or an evaluation error.
    assert message is not None, f"the API server accepted a TradingEngine with {case['wrong']}"
    messages.append((case["wrong"], message))
    assert case["says"] in message
    is_terse = case.get("terse", False)  # a field without a type, which no rule can read
    assert is_terse or not re.search(r"should match|\[a-z|no such key|evaluat", message)

    if "before" in case:
        cluster.kubectl("delete", "te", "rtx", "-n", home)


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["wrong"])
def test_mistake_that_the_schema_accepts_is_reported_by_conditions(
    case: dict[str, Any], engine: Engine, messages: list[tuple[str, str]]
) -> None:
    # Given a namespace with an empty Secret.
    engine.kubectl("create", "secret", "generic", "empty")

    # When an engine is applied that fits the schema and not this cluster.
    Engine(engine.cluster, _merged(engine.manifest, {"spec": case["spec"]})).apply()

    # Then Ready has the cause, and Stalled is True with the same message.
    ready = engine.wait_condition(ConditionType.READY, ConditionStatus.FALSE, Reason(case["reason"]))
    messages.append((case["wrong"], f"condition {ready['reason']}: {ready['message']}"))
    assert case["says"] in ready["message"]
    assert engine.wait_condition(ConditionType.STALLED, ConditionStatus.TRUE)["message"] == ready["message"]
    assert engine.condition(ConditionType.READY)["observedGeneration"] == 1

    engine.delete()


def test_valid_engine_is_accepted(cluster: Cluster, home: str) -> None:
    # Given the engine from which the wrong ones are made.
    manifest = _engine(home)

    # When it is applied.
    message = _apply(cluster, manifest, "--dry-run=server")

    # Then the API server accepts it.
    assert message is None


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["what"])
def test_notation_that_people_use_is_stored_as_it_is_meant(case: dict[str, Any], cluster: Cluster, home: str) -> None:
    # Given a manifest as a person or a tool writes it.
    metadata = f"metadata: {{name: rtx, namespace: {home}, labels: {{rtx-trading.com/operator: none}}}}"
    head = f"apiVersion: rtx-trading.com/v1alpha1\nkind: TradingEngine\n{metadata}\nspec:\n"

    # When it is applied.
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=head + textwrap.indent(case["spec"], "  ")
    )

    # Then the API server stores what it means.
    spec = json.loads(answer)["spec"]
    assert {path: _at(spec, path) for path in case["stored"]} == case["stored"]


@pytest.mark.parametrize("sample", sorted((Path(__file__).parents[2] / "manifests/samples").glob("trading-*.yaml")))
def test_sample_is_accepted(cluster: Cluster, home: str, sample: Path) -> None:
    # Given a sample.
    manifest = yaml.safe_load(sample.read_text())
    manifest["metadata"]["namespace"] = home

    # When it is applied.
    message = _apply(cluster, manifest, "--dry-run=server")

    # Then the API server accepts it.
    assert message is None


def _engine(namespace: str) -> dict[str, Any]:
    """A valid TradingEngine, which no operator serves."""
    return {
        "apiVersion": "rtx-trading.com/v1alpha1",
        "kind": "TradingEngine",
        "metadata": {"name": "rtx", "namespace": namespace, "labels": {"rtx-trading.com/operator": "none"}},
        "spec": {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}},
    }


def _at(spec: Any, path: str) -> Any:
    """The value at a path such as `rollout.smoke.0.path`; None when there is none."""
    for key in path.split("."):
        spec = spec[int(key)] if isinstance(spec, list) else (spec or {}).get(key)
    return spec


def _merged(base: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """The result of a JSON merge patch, in which null removes."""
    merged = copy.deepcopy(base)
    for key, value in edit.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key, {}), value)
        else:
            merged[key] = value
    return merged


def _apply(cluster: Cluster, manifest: dict[str, Any], *arguments: str) -> str | None:
    """Apply the manifest. Returns the API server's error as one line; None when it accepts the manifest."""
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "apply", "-f", "-", *arguments]
    done = subprocess.run(command, check=False, input=json.dumps(manifest), capture_output=True, text=True, timeout=60)
    if done.returncode == 0:
        return None
    errors = re.sub(_BOILERPLATE, "", done.stderr, flags=re.MULTILINE)
    return "; ".join(line.strip(" *") for line in errors.splitlines() if line.strip(" *"))


# Text that all errors of the API server have.
_BOILERPLATE = (
    r'^The TradingEngine "[^"]*" is invalid:|^.*strict decoding error:|^.*some validation rules were not checked.*$'
)
