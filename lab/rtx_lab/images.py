"""Builds our images with buildah from the Dockerfiles at the project's root; unchanged ones are not built again.

Each image has a label with the hash of its Dockerfile, the files that it copies, and the base image. An image in
buildah's storage with that hash is up to date.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rtx_lab import base_image, buildah, estimate, packages, tasks
from rtx_lab.build_settings import volumes
from rtx_lab.buildah import KEY_LABEL, id_of, key_of
from rtx_lab.errors import LabError
from rtx_lab.estimate import Builds
from rtx_lab.paths import cache_home
from rtx_lab.processes import run
from rtx_lab.progress import Reporter
from rtx_lab.tracker import Tracker

BUILD_DEADLINE_SECONDS = 1200.0
MAX_UNNAMED_LAYERS = 12  # layers of about five builds, kept as build cache
BASE = "base image"  # its name in progress lines
IGNORED = re.compile(r"(^|/)(__pycache__|\.[^/]+|[^/]+\.pyc|[^/]+\.egg-info)(/|$)")


@dataclass(frozen=True)
class Image:
    """One of our images: its name on the cluster, and its Dockerfile at the project's root."""

    name: str
    dockerfile: str
    tag: str
    arguments: tuple[str, ...] = ()  # further build arguments, NAME=VALUE

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{self.tag}"


IMAGES = (
    Image("rtx-operator", "Dockerfile.operator", "dev"),
    # An earlier release from the same tree (operator/releases): what an operator is upgraded from, and taken back to.
    Image("rtx-operator", "Dockerfile.operator", "0.9.0", ("RELEASE=0.9.0",)),
    # Three releases from one tree (engine/releases): upgrade source, upgrade target, and one that must be rolled back.
    Image("rtx-engine", "Dockerfile.engine", "1.0.0", ("RELEASE=1.0.0",)),
    Image("rtx-engine", "Dockerfile.engine", "1.1.0", ("RELEASE=1.1.0",)),
    Image("rtx-engine", "Dockerfile.engine", "1.2.0-broken", ("RELEASE=1.2.0-broken",)),
    Image("rtx-postgres", "Dockerfile.database", "17"),
    Image("rtx-redis", "Dockerfile.cache", "8"),
    Image("rtx-traffic", "Dockerfile.traffic", "dev"),
)


def build(names: list[str], root: Path, reporter: Reporter) -> list[str]:
    """Builds the named images (all when the list is empty); returns their references.

    Raises LabError for an unknown name, a missing Dockerfile, or a failed build (with its log's path).
    """
    wanted = named(names)
    packages.ensure(packages.IMAGES, reporter)
    keys = {image: image_key(image, root, base_image.key()) for image in wanted}
    missing = [image for image in wanted if key_of(image.reference) != keys[image]]
    if missing:
        _build_missing({image: keys[image] for image in missing}, root, reporter)
    return [image.reference for image in wanted]


def _build_missing(keys: Mapping[Image, str], root: Path, reporter: Reporter) -> None:
    """Builds the images and labels them with their keys; builds the base image first if it is missing."""
    references = tuple(image.reference for image in keys)
    first = not base_image.exists()
    what = f"Building the base image and {len(keys)} images" if first else f"Building {len(keys)} images"
    # Only first builds were measured; later ones are faster by an unknown share of cached layers.
    seconds = estimate.IMAGE_SECONDS if first else {}
    planned = Builds(seconds, concurrency=1, pending=((BASE,) if first else ()) + references)
    cores = os.cpu_count() or 1
    later = "unchanged images are not built again"
    reporter.print_line(
        estimate.announcement(what, planned.remaining_s(), cores=cores, measured_here=False, later=later)
    )
    tracker = Tracker(planned, "images", reporter)
    with tracker.displayed():
        with tracker.building(BASE) if first else nullcontext():
            base_image.ensure(reporter)
        for image, key in keys.items():
            tasks.raise_if_cancelled()
            with tracker.building(image.reference), reporter.step(f"building image {image.reference}", reminders=False):
                _bud(image, root, key)


def image_key(image: Image, root: Path, base: str) -> str:
    """Hash of all inputs of the image except the package registries' content. Raises LabError without a Dockerfile."""
    dockerfile = root / image.dockerfile
    if not dockerfile.is_file():
        raise LabError(f"{dockerfile} does not exist: run this in the project's folder.")
    text = dockerfile.read_text()
    digest = hashlib.sha256("\0".join([base, text, *image.arguments]).encode())
    for file in sorted(context_files(text, root)):
        mode = file.stat().st_mode & 0o111
        digest.update(f"\0{file.relative_to(root)} {mode}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def context_files(dockerfile: str, root: Path) -> Iterator[Path]:
    """The project files that the Dockerfile's COPY and ADD lines name."""
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        words = line.split()
        if not words or words[0] not in {"COPY", "ADD"} or any(word.startswith("--from=") for word in words):
            continue
        for source in [word for word in words[1:-1] if not word.startswith("--")]:
            for path in root.glob(source.rstrip("/")):
                files = path.rglob("*") if path.is_dir() else [path]
                yield from (file for file in files if file.is_file() and not _is_ignored(file, root))


def archive_path(reference: str) -> Path:
    """The path of the image's archive, which need not exist yet; it contains the image's id.

    Raises LabError when buildah's storage does not hold the image.
    """
    identity = id_of(reference)
    if not identity:
        raise LabError(f"Image {reference} does not exist: run `lab build`, or name an archive.")
    return cache_home() / "images" / f"{_stem(reference)}-{identity[:12]}.tar"


def write_archive(reference: str, target: Path) -> None:
    """Writes the image to its `archive_path` unless it exists: a Docker archive, uncompressed for faster import."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # In its own folder, as two clusters may load the same image at the same time.
    with tempfile.TemporaryDirectory(prefix=".archive-", dir=target.parent) as scratch:
        unfinished = Path(scratch) / target.name
        run(
            ["buildah", "push", reference, f"docker-archive:{unfinished}:{reference}"],
            deadline_s=BUILD_DEADLINE_SECONDS,
        )
        for older in target.parent.glob(f"{_stem(reference)}-*.tar"):
            older.unlink(missing_ok=True)
        unfinished.rename(target)


def _stem(reference: str) -> str:
    return re.sub(r"[^\w.-]+", "_", reference)


def named(names: list[str]) -> list[Image]:
    """Our images with these names; all when the list is empty. Raises LabError for an unknown name."""
    return [image for name in names for image in _named(name)] or list(IMAGES)


def _named(name: str) -> list[Image]:
    """The image with that reference, or every release with that name."""
    found = [image for image in IMAGES if name in {image.name, image.reference, image.name.removeprefix("rtx-")}]
    if not found:
        known = ", ".join(dict.fromkeys(image.name for image in IMAGES))
        raise LabError(f"{name} is not one of our images: they are {known}.")
    return found


def _bud(image: Image, root: Path, key: str) -> None:
    log = cache_home() / "logs" / f"image-{image.name}-{image.tag}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [f"--build-arg={argument}" for argument in (f"BASE={base_image.NAME}", *image.arguments)]
    # --force-rm: a failed or cancelled build leaves no working container in storage.
    options = ["--isolation=chroot", "--network=host", "--pull-never", "--layers", "--force-rm", f"--logfile={log}"]
    names = [f"--label={KEY_LABEL}={key}", f"--tag={image.reference}", f"--file={root / image.dockerfile}"]
    log.unlink(missing_ok=True)
    replaced = id_of(image.reference)
    with volumes() as mounts:
        try:
            run(["buildah", "bud", *options, *arguments, *names, *mounts, root], deadline_s=BUILD_DEADLINE_SECONDS)
        except LabError as failure:
            why = failure_line(log, failure)
            raise LabError(f"Building {image.reference} failed ({why}): see {log}.") from None
    buildah.prune(replaced, keep_unnamed=MAX_UNNAMED_LAYERS)


def failure_line(log: Path, failure: LabError) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [str(failure)])[-1].strip()


def _is_ignored(file: Path, root: Path) -> bool:
    return bool(IGNORED.search(str(file.relative_to(root))))
