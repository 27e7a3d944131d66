"""The cache of programs: built once, used only when complete."""

import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from rtx_lab import binaries, estimate, processes
from rtx_lab.binaries import PAUSE, Program
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter


class Builder:
    """A fake build in place of minutes of compiling; records its calls."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def __call__(self, program: Program, output: Path, log: Path) -> None:
        self.built.append(program.name)
        log.write_text("compiling")
        output.write_bytes(f"program {program.name}".encode())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiled = subprocess.run(["go", "env", "GOCACHE"], capture_output=True, text=True, timeout=30, check=True).stdout
    monkeypatch.setenv("GOCACHE", compiled.strip())  # it would follow XDG_CACHE_HOME, and compile Go's library anew
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rtx-lab"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    folder = tmp_path / "go" / "tiny"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module local/tiny\n\ngo 1.26.0\n")
    (folder / "main.go").write_text("package main\n\nfunc main() { println(42) }\n")
    monkeypatch.setattr(binaries, "MODULES", tmp_path / "go")
    return Program("tiny", commands=("big", "small"))


def test_a_program_is_built_once_and_found_under_each_of_its_names(program: Program) -> None:
    # given
    builder = Builder()
    # when
    first = binaries.ensure([program], Reporter(), builder)
    second = binaries.ensure([program], Reporter(), builder)
    # then
    assert builder.built == ["tiny"]
    assert first == second
    assert set(first) == {"big", "small"}
    assert first["big"].read_bytes() == first["small"].read_bytes() == b"program tiny"


def test_a_corrupt_entry_is_rebuilt(program: Program) -> None:
    # given
    builder = Builder()
    entry = binaries.ensure([program], Reporter(), builder)["big"].parent
    (entry / "tiny").write_bytes(b"program tinx")
    # when
    paths = binaries.ensure([program], Reporter(), builder)
    # then
    assert builder.built == ["tiny", "tiny"]
    assert paths["big"].read_bytes() == b"program tiny"


def test_an_entry_without_its_checksum_is_rebuilt(program: Program) -> None:
    # given: what a machine switched off in the middle might leave
    builder = Builder()
    entry = binaries.ensure([program], Reporter(), builder)["big"].parent
    (entry / binaries.CHECKSUM).unlink()
    # when
    binaries.ensure([program], Reporter(), builder)
    # then
    assert builder.built == ["tiny", "tiny"]


def test_failed_build_leaves_no_entry(program: Program, cache: Path) -> None:
    # given
    def dies(program: Program, output: Path, log: Path) -> None:
        output.write_bytes(b"hal")
        raise KeyboardInterrupt

    # when
    with pytest.raises(KeyboardInterrupt):
        binaries.ensure([program], Reporter(), dies)
    # then
    assert list((cache / "bin").iterdir()) == []


def test_changed_pin_changes_the_entry(program: Program) -> None:
    # given
    before = binaries.entry_name(program)
    # when
    with (program.sources / "go.mod").open("a") as file:
        file.write("\nrequire example.com/x v1.0.0\n")
    # then
    assert binaries.entry_name(program) != before


def test_go_builds_a_program_that_runs(program: Program) -> None:
    # when
    paths = binaries.ensure([program], Reporter())
    # then
    assert paths["big"].read_bytes()[:4] == b"\x7fELF"


def test_a_failed_build_names_its_log(program: Program, cache: Path) -> None:
    # given
    (program.sources / "main.go").write_text("package main\n\nfunc main() { oops }\n")
    # when
    with pytest.raises(LabError, match=r"Building tiny v1\.0 failed .*oops.*; see ") as failure:
        binaries.ensure([program], Reporter())
    # then
    log = cache / "logs" / "tiny.log"
    assert str(log) in str(failure.value)
    assert "undefined: oops" in log.read_text()


def test_missing_go_raises_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given
    monkeypatch.setattr(binaries.shutil, "which", lambda *_args, **_kwargs: None)
    # then
    with pytest.raises(LabError, match=r"Go was not found: install Go 1\.26 or later from go\.dev"):
        binaries.find_go()


@pytest.mark.parametrize("program", binaries.PROGRAMS, ids=lambda program: program.name)
def test_every_program_is_pinned(program: Program) -> None:
    assert program.version.startswith("v")
    assert program == PAUSE or (program.sources / "go.sum").stat().st_size > 0


def test_first_run_prints_an_estimate_and_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(binaries.os, "cpu_count", lambda: 2)
    output = io.StringIO()
    # when
    binaries.ensure(binaries.PROGRAMS, Reporter(Console(file=output, width=200)), Builder())
    # then
    lines = output.getvalue().splitlines()
    assert re.fullmatch(
        r"First run on this machine: building 8 cluster programs, about \d+ min on 2 cores; "
        r"they are cached for later runs",
        lines[0],
    )
    assert len(lines) == 1 + len(binaries.PROGRAMS)


def test_estimate_uses_the_recorded_build(cache: Path) -> None:
    # given: the last cold build here took twice as long as the measured one
    cache.mkdir(parents=True)
    slow = {name: 2 * seconds for name, seconds in estimate.PROGRAM_SECONDS.items()}
    (cache / "cold_build.json").write_text(json.dumps({"when": "today", "total_s": 1, "programs": slow}))
    output = io.StringIO()
    # when
    binaries.ensure([binaries.ETCD], Reporter(Console(file=output, width=200)), Builder())
    # then
    minutes = estimate.about(2 * estimate.PROGRAM_SECONDS["etcd"])
    assert output.getvalue().startswith(f"Building etcd for the cluster, {minutes} as measured on this machine;")


def test_run_without_builds_prints_nothing(program: Program) -> None:
    # given
    binaries.ensure([program], Reporter(), Builder())
    output = io.StringIO()
    # when
    binaries.ensure([program], Reporter(Console(file=output)), Builder())
    # then
    assert output.getvalue() == ""


def test_failed_build_cancels_the_running_one_and_starts_no_other(cache: Path, tmp_path: Path) -> None:
    # given
    running, begun = tmp_path / "running", []

    def build(program: Program, output: Path, log: Path) -> None:
        begun.append(program.name)
        if program == binaries.KUBERNETES:
            processes.run(["sh", "-c", 'touch "$0"; sleep 300', running], deadline_s=600)
        while not running.exists():
            pass
        raise LabError("no space left")

    # when
    with pytest.raises(LabError, match=r"^no space left$"):
        binaries.ensure(binaries.PROGRAMS, Reporter(), build)
    # then
    assert set(begun) == {"kubernetes", "etcd"}
    assert list((cache / "bin").iterdir()) == []


def test_incomplete_record_does_not_prevent_builds(program: Program, cache: Path) -> None:
    # given that a run ended while it wrote down how long its builds took
    cache.mkdir()
    (cache / "cold_build.json").write_text('{"when": "2026')
    # when
    found = binaries.ensure([program], Reporter(), Builder())
    # then
    assert found["big"].exists()
