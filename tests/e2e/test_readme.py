"""Every command block of the README, pasted twice, in the order of the README."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from documented_commands import README, shell_blocks
from pasted_commands import DOCUMENTED_NAMESPACE, Shell
from rtx_demo import installation, sample
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl
from rtx_demo.waiting import eventually
from rtx_lab.provider import Provider
from testbed import Testbed

ROOT = README.parent
REMOVAL = "Uninstall"


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """The name that replaces the README's namespace: the README's own may hold the engine of `KEEP=1 make demo`."""
    name = f"e2e-readme-{secrets.token_hex(3)}"
    yield name
    if kubectl.get("namespace", name):
        sample.remove(kubectl, name, wait=False)


@pytest.fixture
def checkout(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Path:
    """A copy of the folders that the commands name, with the test's namespace and with the images of this checkout.

    `manifests/operator` has exactly the objects that are installed, so that its apply restarts no operator.
    """
    for folder in ("crds", "manifests/samples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in (tmp_path / "manifests/samples").iterdir():
        file.write_text(DOCUMENTED_NAMESPACE.sub(namespace, file.read_text()))
    operator = tmp_path / "manifests/operator"
    operator.mkdir()
    (operator / "objects.yaml").write_text(kubectl.run("kustomize", str(ROOT / installation.GENERATED_OVERLAY)))
    (operator / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
    return tmp_path


def test_every_command_of_the_readme_works_when_pasted_twice(
    testbed: Testbed, kubectl: Kubectl, local_cluster: Provider, namespace: str, checkout: Path
) -> None:
    # given room for an engine of the sample's size in two colours, and the README's blocks in their order
    testbed.discard()
    shell = Shell(local_cluster, checkout, namespace)
    blocks = [block for block in shell_blocks(README) if block.is_run]
    removal = [block for block in blocks if block.heading == REMOVAL]
    use = blocks[: -len(removal)]
    assert blocks == [*use, *removal]

    # when the operator and an engine are installed, and the engine is upgraded
    for block in use:
        shell.paste(block)
        shell.paste(block)

    # then the new version serves, and nothing is left to do
    engine = Engine(kubectl, "rtx", namespace)
    status = engine.read()["status"]
    assert status["active"]["version"] == "1.1.0"
    assert status["cutover"]["phase"] == "Succeeded"

    # when all is uninstalled
    for block in removal:
        shell.paste(block)
        shell.paste(block)

    # then the engine is gone, its volumes and its Secrets are left, and the operator still runs for others
    assert kubectl.get("te", "rtx", namespace) is None
    eventually(lambda: not kubectl.list("pods", namespace), "no pods", deadline=120)
    kept = "rtx-trading.com/engine=rtx"
    assert names(kubectl, "pvc", namespace, kept) == {"data-rtx-postgres-0", "data-rtx-redis-0"}
    assert names(kubectl, "secrets", namespace, kept) == {"rtx-credentials", "rtx-internal"}
    installation.wait_until_running(kubectl)


def names(kubectl: Kubectl, kind: str, namespace: str, selector: str) -> set[str]:
    return {item["metadata"]["name"] for item in kubectl.list(kind, namespace, selector)}
