"""What is missing is installed, or said."""

from pathlib import Path

import pytest
from rtx_lab import packages
from rtx_lab.errors import LabError
from rtx_lab.progress import Reporter

NEEDS = {
    "sh": "dash",
    "no-such-program": "some-package",
    "/no/such/file": "other-package",
    "no-such-too": "some-package",
}


def test_missing_things_name_their_packages_once() -> None:
    assert packages.missing(NEEDS) == ["other-package", "some-package"]


def test_without_root_the_user_is_told_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"apt-get install --no-install-recommends other-package some-package$"):
        packages.ensure(NEEDS, Reporter())


def test_with_everything_there_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    packages.ensure({"sh": "dash", str(tmp_path): "x"}, Reporter())
