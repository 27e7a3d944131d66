"""Wrong TradingEngines: refused by the API server, or accepted and ending in a condition, in words that say what to do.

Prints them as a table.
"""

import copy
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_support import Cluster, Engine

CASES = yaml.safe_load(Path(__file__).with_name("refusals.yaml").read_text())


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, str]]]:
    """Collects (what is wrong, what the user reads), to be printed below the tests."""
    collected: list[tuple[str, str]] = []
    yield collected
    width = max((len(wrong) for wrong, _ in collected), default=0)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{'a TradingEngine with':{width}}  ends in")
        for wrong, said in collected:
            print(f"{wrong:{width}}  {said}")


@pytest.fixture(scope="module")
def home(cluster: Cluster) -> Iterator[str]:
    """A namespace for engines that no operator serves."""
    name = f"test-refusals-{secrets.token_hex(4)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["wrong"])
def test_a_wrong_engine_is_refused_in_plain_words(
    case: dict[str, Any], cluster: Cluster, home: str, answers: list[tuple[str, str]]
) -> None:
    # given an engine that was right, where the mistake is an edit
    manifest = _engine(home)
    if "before" in case:
        manifest = _merged(manifest, {"spec": case["before"]})
        assert _apply(cluster, manifest) is None

    # when the mistake is applied
    said = _apply(cluster, _merged(manifest, {"spec": case["spec"]} if "spec" in case else case["whole"]))

    # then it is refused, by a sentence and not by a regular expression
    assert said is not None, "it was accepted"
    answers.append((case["wrong"], said))
    assert case["says"] in said
    assert not re.search(r"should match|\[a-z|no such key|evaluat", said)

    if "before" in case:
        cluster.kubectl("delete", "te", "rtx", "-n", home)


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["wrong"])
def test_what_only_the_operator_can_know_ends_in_a_condition(
    case: dict[str, Any], engine: Engine, answers: list[tuple[str, str]]
) -> None:
    # given a namespace with a Secret that holds nothing
    engine.kubectl("create", "secret", "generic", "empty")

    # when an engine is applied that fits the schema, but not this cluster
    Engine(engine.cluster, _merged(engine.manifest, {"spec": case["spec"]})).apply()

    # then its Ready condition says why it does not come up, and that help is needed
    ready = engine.wait_condition("Ready", "False", case["reason"])
    answers.append((case["wrong"], f"condition {ready['reason']}: {ready['message']}"))
    assert case["says"] in ready["message"]
    assert engine.wait_condition("Stalled", "True")["message"] == ready["message"]
    assert engine.condition("Ready")["observedGeneration"] == 1

    engine.delete()


def test_the_engine_that_the_wrong_ones_are_made_from_is_accepted(cluster: Cluster, home: str) -> None:
    assert _apply(cluster, _engine(home), "--dry-run=server") is None


@pytest.mark.parametrize("sample", sorted((Path(__file__).parents[2] / "manifests/samples").glob("trading-*.yaml")))
def test_the_samples_are_accepted(cluster: Cluster, home: str, sample: Path) -> None:
    manifest = yaml.safe_load(sample.read_text())
    manifest["metadata"]["namespace"] = home

    assert _apply(cluster, manifest, "--dry-run=server") is None


def _engine(namespace: str) -> dict[str, Any]:
    """A right one."""
    return {
        "apiVersion": "rtx-trading.com/v1alpha1",
        "kind": "TradingEngine",
        "metadata": {"name": "rtx", "namespace": namespace, "labels": {"rtx-trading.com/operator": "none"}},
        "spec": {"version": "1.0.0", "image": {"repository": "example.com/rtx-engine"}},
    }


def _merged(base: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch: null removes."""
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
    """What the API server has against it, as one line; None when it is accepted."""
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "apply", "-f", "-", *arguments]
    done = subprocess.run(command, check=False, input=json.dumps(manifest), capture_output=True, text=True, timeout=60)
    if done.returncode == 0:
        return None
    said = re.sub(_AROUND, "", done.stderr, flags=re.MULTILINE)
    return "; ".join(line.strip(" *") for line in said.splitlines() if line.strip(" *"))


# What is the same in all answers.
_AROUND = (
    r'^The TradingEngine "[^"]*" is invalid:|^.*strict decoding error:|^.*some validation rules were not checked.*$'
)
