"""Image keys: which changes cause a rebuild; and image names."""

from pathlib import Path

import pytest
from rtx_lab import images
from rtx_lab.errors import LabError
from rtx_lab.images import Image

DOCKERFILE = """\
ARG BASE=docker.io/library/python:3.13-slim
FROM ${BASE} AS build
COPY pyproject.toml uv.lock ./
COPY engine/ \\
     engine/
FROM ${BASE}
COPY --from=build /app /app
COPY --chmod=0755 tools/run.sh /usr/local/bin/run
"""
ENGINE = Image("rtx-engine", "Dockerfile.engine", "1.0.0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in (
        "pyproject.toml",
        "uv.lock",
        "engine/app.py",
        "engine/__pycache__/app.pyc",
        "tools/run.sh",
        "README.md",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "Dockerfile.engine").write_text(DOCKERFILE)
    return tmp_path


def test_context_files_are_those_that_the_dockerfile_copies(project: Path) -> None:
    # when
    found = {str(file.relative_to(project)) for file in images.context_files(DOCKERFILE, project)}
    # then
    assert found == {"pyproject.toml", "uv.lock", "engine/app.py", "tools/run.sh"}


@pytest.mark.parametrize("name", ["engine/app.py", "uv.lock", "tools/run.sh", "Dockerfile.engine"])
def test_changed_input_changes_the_image_key(project: Path, name: str) -> None:
    # given
    before = images.image_key(ENGINE, project, "base-1")
    # when
    with (project / name).open("a") as file:
        file.write("# changed\n")
    # then
    assert images.image_key(ENGINE, project, "base-1") != before


@pytest.mark.parametrize("name", ["README.md", "engine/__pycache__/app.pyc", "engine/.ruff_cache"])
def test_change_of_another_file_keeps_the_image_key(project: Path, name: str) -> None:
    # given
    before = images.image_key(ENGINE, project, "base-1")
    # when
    (project / name).write_text("changed")
    # then
    assert images.image_key(ENGINE, project, "base-1") == before


def test_other_base_or_argument_changes_the_image_key(project: Path) -> None:
    # given
    other = Image("rtx-engine", "Dockerfile.engine", "1.0.0", ("VERSION=2",))
    # then
    keys = {
        images.image_key(ENGINE, project, "base-1"),
        images.image_key(ENGINE, project, "base-2"),
        images.image_key(other, project, "base-1"),
    }
    assert len(keys) == 3


def test_image_is_found_by_short_and_full_name() -> None:
    assert images.named(["engine", "rtx-redis", "localhost/rtx-traffic:dev"]) == [
        image for image in images.IMAGES if image.name in {"rtx-engine", "rtx-redis", "rtx-traffic"}
    ]
    assert images.named([]) == list(images.IMAGES)


def test_name_selects_every_release_and_reference_one() -> None:
    engines = images.named(["engine"])
    assert [image.tag for image in engines] == ["1.0.0", "1.1.0", "1.2.0-broken"]
    assert images.named(["localhost/rtx-engine:1.1.0"]) == [engines[1]]


def test_error_of_an_unknown_image_lists_the_known_ones() -> None:
    with pytest.raises(LabError, match="nginx is not one of our images: they are rtx-operator, "):
        images.named(["nginx"])


def test_error_of_a_missing_dockerfile_names_the_folder_to_run_in(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Dockerfile\.engine does not exist: run this in the project's folder\."):
        images.image_key(ENGINE, tmp_path, "base")
