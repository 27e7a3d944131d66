"""The Deployment that is copied by hand from the running one."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "bench/ordinary_upgrade.py"


@pytest.fixture(scope="module")
def by_hand() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ordinary_upgrade", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("image", ["localhost/rtx-engine:1.0.0", "localhost/rtx-engine:1.0.0@sha256:ab"])
def test_copy_changes_only_colour_and_version(by_hand: ModuleType, image: str) -> None:
    # given a Deployment as the API server has it
    labels = {"app.kubernetes.io/name": "rtx-engine", by_hand.COLOUR: "blue"}
    container = {"name": "engine", "image": image, "env": [{"name": "COLOUR", "value": "blue"}, {"name": "POD_NAME"}]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "rtx-engine-blue",
            "namespace": "ns",
            "labels": labels,
            "uid": "u",
            "resourceVersion": "7",
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        "status": {"readyReplicas": 3},
    }

    # when it is copied for green and 1.1.0
    copy = by_hand.OrdinaryUpgrade._copy(deployment, "blue", "green", "1.1.0")

    # then it is that colour everywhere, of that version, as large, and without what belongs to the one that runs
    green = labels | {by_hand.COLOUR: "green"}
    assert copy["metadata"] == {"name": "rtx-engine-green", "namespace": "ns", "labels": green}
    assert copy["spec"]["selector"]["matchLabels"] == copy["spec"]["template"]["metadata"]["labels"] == green
    (made,) = copy["spec"]["template"]["spec"]["containers"]
    assert (made["image"], made["env"][0]["value"]) == ("localhost/rtx-engine:1.1.0", "green")
    assert copy["spec"]["replicas"] == 3
    assert "status" not in copy
    assert deployment["spec"]["template"]["metadata"]["labels"][by_hand.COLOUR] == "blue"
