"""The base image without a registry: Debian with Python, by debootstrap, in place of python:3.13-slim."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from rtx_lab.buildah import DEADLINE_SECONDS, KEY_LABEL, key_of
from rtx_lab.paths import cache_home
from rtx_lab.processes import run
from rtx_lab.progress import Reporter
from rtx_lab.tasks import shielded

SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"  # apt verifies signatures, so TLS is not needed
PACKAGES = ("ca-certificates", "python3", "python3-venv")
NAME = f"localhost/rtx-base:{SUITE}"
BOOTSTRAP_DEADLINE_SECONDS = 900.0

# Files that no program reads or that apt generates again.
REMOVED_PATHS = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian",
    "var/lib/apt/lists/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/debconf/*-old",
    "var/log/*.log",
    "var/log/apt/*",
    "**/__pycache__",
)


def key() -> str:
    recipe = "\0".join([SUITE, MIRROR, *PACKAGES, *REMOVED_PATHS])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def exists() -> bool:
    """Whether the base image is in buildah's storage or in the cache."""
    return key_of(NAME) == key() or _archive().exists()


def ensure(reporter: Reporter) -> None:
    """Provides the base image from buildah's storage or the cache, else builds it. Raises LabError."""
    archive = _archive()
    if key_of(NAME) == key():
        return
    if archive.exists():
        with reporter.step("loading the base image from the cache"):
            run(["buildah", "pull", "--quiet", f"docker-archive:{archive}"], deadline_s=DEADLINE_SECONDS)
    else:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with reporter.step(f"building the base image (Debian {SUITE} with Python)", reminders=False):
            _bootstrap(archive)


def _archive() -> Path:
    return cache_home() / "images" / f"base-{SUITE}-{key()}.tar"


def _bootstrap(archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rtx-lab-base-") as scratch:
        root = Path(scratch) / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root, MIRROR]
        run(command, deadline_s=BOOTSTRAP_DEADLINE_SECONDS)
        _trim(root)
        container = run(["buildah", "from", "scratch"], deadline_s=DEADLINE_SECONDS).strip()
        try:
            run(["buildah", "copy", "--quiet", container, root, "/"], deadline_s=DEADLINE_SECONDS)
            settings = ["--cmd", "python3", "--env", "LANG=C.UTF-8", "--label", f"{KEY_LABEL}={key()}"]
            run(["buildah", "config", *settings, container], deadline_s=DEADLINE_SECONDS)
            unfinished = archive.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            run(["buildah", "commit", "--quiet", container, NAME], deadline_s=DEADLINE_SECONDS)
        finally:
            with shielded():
                run(["buildah", "rm", container], deadline_s=DEADLINE_SECONDS)
        run(["buildah", "push", "--quiet", NAME, f"docker-archive:{unfinished}:{NAME}"], deadline_s=DEADLINE_SECONDS)
        unfinished.rename(archive)


def _trim(root: Path) -> None:
    for pattern in REMOVED_PATHS:
        for path in list(root.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
