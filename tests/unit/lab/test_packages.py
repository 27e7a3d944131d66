"""Missing packages are installed, or named in the error."""

from pathlib import Path

import pytest
from rtx_lab import lock, packages, tasks
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter

NEEDS = {
    "sh": "dash",
    "no-such-program": "some-package",
    "/no/such/file": "other-package",
    "no-such-too": "some-package",
}

APT = """#!/bin/sh
echo "$@" >>"{folder}/calls"
if [ "$1" = update ]; then
    mkdir "{folder}/lists" || exit 100  # as apt does while another has the lock of its lists
    sleep 0.2
    rmdir "{folder}/lists"
else
    for package; do touch "{folder}/$package"; done
fi
"""


def test_missing_packages_are_listed_once() -> None:
    assert packages.missing(NEEDS) == ["other-package", "some-package"]


def test_error_without_root_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"apt-get install --no-install-recommends other-package some-package$"):
        packages.ensure(NEEDS, Reporter())


def test_nothing_is_installed_when_nothing_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    packages.ensure({"sh": "dash", str(tmp_path): "x"}, Reporter())


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the apt that stands in for Debian's puts a file for each package, and in `calls` its arguments."""
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(APT.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(lock, "LOCK_FOLDER", tmp_path)
    return tmp_path


def test_concurrent_installations_run_one_after_the_other(apt: Path) -> None:
    # given
    wanted = [{str(apt / name): name} for name in ("one", "two")]
    # when
    tasks.run_concurrently([lambda needs=needs: packages.ensure(needs, Reporter()) for needs in wanted], concurrency=2)
    # then
    assert (apt / "one").exists()
    assert (apt / "two").exists()


def test_package_installed_meanwhile_is_not_installed_again(apt: Path) -> None:
    # given
    needs = {str(apt / "one"): "one"}
    # when
    tasks.run_concurrently([lambda: packages.ensure(needs, Reporter())] * 2, concurrency=2)
    # then
    assert len((apt / "calls").read_text().splitlines()) == 2  # update and install, once
