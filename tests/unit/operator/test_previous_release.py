"""The earlier release of the operator that tests on the cluster upgrade from: a patch to the tree, and an image."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from desired_objects import SMALL, build_input
from rtx_lab.images import IMAGES
from rtx_operator import desired
from rtx_operator.api.enums import Colour

ROOT = Path(__file__).parents[3]
RELEASES = ROOT / "operator/releases"
FACTS = Path(__file__).with_name("operator_facts.py")
(VERSION,) = [path.stem for path in RELEASES.glob("*.patch")]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the earlier release's operator."""
    root = tmp_path_factory.mktemp(VERSION)
    shutil.copytree(ROOT / "operator", root / "operator", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    patch = RELEASES / f"{VERSION}.patch"
    done = subprocess.run(["git", "apply", "-p1", patch], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{patch} does not fit the tree any more: {done.stderr}"
    return root / "operator"


def facts(operator: Path, spec: dict[str, Any] = SMALL) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(operator)}
    done = subprocess.run(
        [sys.executable, FACTS], input=json.dumps(spec), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (thing for thing in objects if thing["kind"] == kind)
    return found


def test_it_has_an_image() -> None:
    tags = {image.tag: image.arguments for image in IMAGES if image.name == "rtx-operator"}

    assert tags == {"dev": (), VERSION: (f"RELEASE={VERSION}",)}


def test_it_differs_from_this_release_in_every_kind_of_thing(previous: Path) -> None:
    # A test of an upgrade proves something only if there is something to upgrade
    was, now = facts(previous), facts(ROOT / "operator")

    assert one(was["objects"], "Deployment")["spec"] != one(now["objects"], "Deployment")["spec"]
    assert set(one(was["objects"], "ConfigMap")["data"]) < set(one(now["objects"], "ConfigMap")["data"])
    assert set(was["spec fields"]) < set(now["spec fields"])
    assert was["fence version"] < now["fence version"]
    assert was["fence"] != now["fence"]


def test_what_it_made_is_kept_by_this_release(previous: Path) -> None:
    # Given a colour that the earlier release has made
    was = facts(previous)

    # When this release reads its record, and makes the colour from it
    record = desired.Record.of("rtx-engine-blue", one(was["objects"], "ControllerRevision")["data"])
    now = desired.colour_children(build_input(), Colour.BLUE, record)

    # Then spec asks for the same revision, and not one object differs
    assert desired.revision_spec(build_input()).hash == was["hash"]
    assert now == was["objects"]


def test_what_this_release_made_is_understood_by_it(previous: Path) -> None:
    # Given a spec as the API server stores it with this release's definition
    stored = {**SMALL, "config": {"logLevel": "INFO"}}

    # When the earlier release reads it, then it asks for the same revision
    assert facts(previous, stored)["hash"] == desired.revision_spec(build_input(stored)).hash
