"""Commands in the docs work when pasted: a test runs each, or a short list says why not."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from documented_commands import DOCUMENTS, NOT_RUN, README, ROOT, SERVER_DRY_RUN, Block, blocks, shell_blocks
from rtx_demo import installation, sample

SHELLS = {"bash", "shell", "console", "shell-session", "zsh"}
LAB = ROOT / "lab/README.md"


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_shell_blocks_are_marked_sh(document: Path) -> None:
    # given a document, when its fenced blocks are read
    languages = {block.language for block in blocks(document)}

    # then each names its language, so that no command hides from these tests; lab/README.md has a synopsis without one
    assert not languages & SHELLS
    assert "" not in languages or document == LAB


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_each_command_is_run_or_listed_with_a_reason(document: Path) -> None:
    # given a document, when a shell block of it is not run on the cluster, then each of its commands is listed
    for block in shell_blocks(document):
        if not block.is_run:
            assert set(block.commands) <= NOT_RUN.keys(), f"{block.heading}: add it to documented_commands.NOT_RUN"
            continue
        # and a block that is run has commands that the end-to-end test can run: kubectl, and none that never ends
        for command in block.commands:
            assert command.startswith("kubectl "), f"{block.heading}: the test has only kubectl for {command}"
            assert not {"-w", "--watch", "logs"} & set(shlex.split(command)), f"{command} never ends"


def test_lists_have_no_stale_command() -> None:
    # given the commands of all documents, then each entry of the lists is still one of them
    written = [block for document in DOCUMENTS for block in shell_blocks(document)]
    assert {command for block in written for command in block.commands} >= NOT_RUN.keys()

    # and exactly the commands that would remove the shared operator or its CRD are sent as a dry run
    run = {command for block in written if block.is_run for command in block.commands}
    assert {command for command in run if command.startswith("kubectl delete -k")} == SERVER_DRY_RUN.keys()


def test_listed_make_targets_exist() -> None:
    # given every `make TARGET` of the list, when make plans it, then it knows how
    targets = {match[1] for command in NOT_RUN if (match := re.fullmatch(r"(?:\w+=\w+ )?make ([\w-]+)", command))}
    assert targets >= {"demo", "test", "test-faults", "down"}
    plain = {key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    planned = subprocess.run(
        ["make", "--dry-run", "UV=uv", *sorted(targets)],
        cwd=ROOT, env=plain, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr


def test_install_commands_are_those_of_the_demo() -> None:
    # given the README's commands that install the operator, then the demo runs the same, word for word
    (install,) = (
        block for block in shell_blocks(README) if "manifests/operator" in block.text and "apply" in block.text
    )
    commands = installation.commands("crds", "manifests/operator")
    assert install.commands == tuple(shlex.join(("kubectl", *command)) for command in commands)


def test_operator_manifests_have_no_crd() -> None:
    # given the folder that the README deletes to remove the operator alone, then the CRD, and so every engine, stays
    kustomization = yaml.safe_load((ROOT / "manifests/operator/kustomization.yaml").read_text())
    kinds = {
        item["kind"]
        for file in kustomization["resources"]
        for item in yaml.safe_load_all((ROOT / "manifests/operator" / file).read_text())
    }
    assert {"Deployment", "ClusterRole"} <= kinds
    assert "CustomResourceDefinition" not in kinds


def test_yaml_of_the_readme_is_the_sample() -> None:
    # given the README's YAML, then it is the sample's file but for the comment at its top
    (shown,) = (block for block in blocks(README) if block.language == "yaml")
    text = (ROOT / sample.FILE).read_text()
    assert shown.text == text[text.index("apiVersion:") :]


def test_block_without_a_test_is_found() -> None:
    # given a block of commands that no list knows, in the README and in another document
    text = "make coffee  # for two\n"
    new, other = (Block(document, "Install", "sh", text) for document in (README, ROOT / "CONTRIBUTING.md"))

    # then the one would be run, and the other is neither run nor listed
    assert new.is_run
    assert not other.is_run
    assert not set(other.commands) <= NOT_RUN.keys()
    assert other.commands == ("make coffee",)
