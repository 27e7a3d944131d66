"""The images that every node requires first: pause, CoreDNS, and a shell for the volume provisioner.

Each has only a few static files, so they are written directly as one Docker archive, without a builder.
"""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rtx_lab.paths import cache_home

PAUSE = "localhost/rtx-lab/pause:1"
COREDNS = "localhost/rtx-lab/coredns:1"
SHELL = "localhost/rtx-lab/busybox:1"
BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class ScratchImage:
    """An image of static files: path inside → file on this machine. `links` are further names of the first file."""

    name: str
    files: dict[str, Path]
    entrypoint: tuple[str, ...]
    links: tuple[str, ...] = ()


def ensure_archive(commands: dict[str, Path]) -> Path:
    """Writes the archive of all system images, once per set of programs; returns its path."""
    images = [
        ScratchImage(PAUSE, {"pause": commands["pause"]}, ("/pause",)),
        ScratchImage(COREDNS, {"coredns": commands["coredns"]}, ("/coredns",)),
        ScratchImage(SHELL, {"bin/busybox": BUSYBOX}, ("/bin/sh",), links=("bin/sh", "bin/mkdir", "bin/rm")),
    ]
    digest = hashlib.sha256(b"2")  # increment when the archive's format changes
    for image in images:
        for inside, file in image.files.items():
            stat = file.stat()
            digest.update(f"{image.name} {inside} {file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    archive = cache_home() / "images" / f"system-{digest.hexdigest()[:12]}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".unfinished")
        write_archive(images, unfinished)
        for older in archive.parent.glob("system-*.tar"):
            older.unlink(missing_ok=True)
        unfinished.rename(archive)
    return archive


def write_archive(images: list[ScratchImage], target: Path) -> None:
    """Writes a Docker archive (`docker save` format) with one uncompressed layer per image."""
    manifest = []
    with tarfile.open(target, "w") as archive:
        for image in images:
            layer = _layer(image)
            layer_id = hashlib.sha256(layer).hexdigest()
            config = json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": {"Entrypoint": image.entrypoint, "Env": ["PATH=/bin"]},
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
                    "history": [],
                }
            ).encode()
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(archive, config_name, config)
            _add(archive, f"{layer_id}.tar", layer)
            manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": [f"{layer_id}.tar"]})
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _layer(image: ScratchImage) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for inside, file in image.files.items():
            _add(layer, inside, file.read_bytes(), mode=0o755)
        for link in image.links:
            entry = tarfile.TarInfo(link)
            # A hard link carries the mode too, and unpacking applies it to the file.
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, next(iter(image.files)), 0o755
            layer.addfile(entry)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
