from pathlib import Path

import pytest
from cli_objects import engine
from kubectl_program import KubectlProgram


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubectlProgram:
    """The program that the plugin runs, with an engine at rest."""
    program = KubectlProgram(tmp_path)
    program.install()
    program.answer("engine", engine())
    program.items("records")
    monkeypatch.setenv("KUBECTL", str(program.path))
    return program
