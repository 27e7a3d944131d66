"""Which changes make an image anew."""

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


def test_the_context_is_what_the_dockerfile_copies(project: Path) -> None:
    # when
    found = {str(file.relative_to(project)) for file in images.context_files(DOCKERFILE, project)}
    # then
    assert found == {"pyproject.toml", "uv.lock", "engine/app.py", "tools/run.sh"}


@pytest.mark.parametrize("name", ["engine/app.py", "uv.lock", "tools/run.sh", "Dockerfile.engine"])
def test_a_change_of_what_shapes_the_image_changes_its_key(project: Path, name: str) -> None:
    # given
    before = images.image_key(ENGINE, project, "base-1")
    # when
    with (project / name).open("a") as file:
        file.write("# changed\n")
    # then
    assert images.image_key(ENGINE, project, "base-1") != before


@pytest.mark.parametrize("name", ["README.md", "engine/__pycache__/app.pyc", "engine/.ruff_cache"])
def test_a_change_of_anything_else_does_not(project: Path, name: str) -> None:
    # given
    before = images.image_key(ENGINE, project, "base-1")
    # when
    (project / name).write_text("changed")
    # then
    assert images.image_key(ENGINE, project, "base-1") == before


def test_another_base_or_argument_is_another_image(project: Path) -> None:
    # given
    other = Image("rtx-engine", "Dockerfile.engine", "1.0.0", ("VERSION=2",))
    # then
    keys = {
        images.image_key(ENGINE, project, "base-1"),
        images.image_key(ENGINE, project, "base-2"),
        images.image_key(other, project, "base-1"),
    }
    assert len(keys) == 3


def test_names_are_short_or_full() -> None:
    assert images.named(["engine", "rtx-redis", "localhost/rtx-traffic:dev"]) == [
        image for image in images.IMAGES if image.name in {"rtx-engine", "rtx-redis", "rtx-traffic"}
    ]
    assert images.named([]) == list(images.IMAGES)


def test_a_name_is_every_release_and_a_reference_is_one() -> None:
    engines = images.named(["engine"])
    assert [image.tag for image in engines] == ["1.0.0", "1.1.0", "1.2.0-broken"]
    assert images.named(["localhost/rtx-engine:1.1.0"]) == [engines[1]]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(LabError, match="nginx is none of our images; they are rtx-operator, "):
        images.named(["nginx"])


def test_a_missing_dockerfile_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"There is no .*Dockerfile\.engine; run this in the project's folder\."):
        images.image_key(ENGINE, tmp_path, "base")
