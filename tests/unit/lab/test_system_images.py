"""Images written without a builder."""

import io
import json
import tarfile
from pathlib import Path

from rtx_lab.system_images import ScratchImage, write_archive


def test_the_archive_holds_each_image_with_its_files_and_links(tmp_path: Path) -> None:
    # given
    program = tmp_path / "busybox"
    program.write_bytes(b"binary")
    image = ScratchImage("localhost/shell:1", {"bin/busybox": program}, ("/bin/sh",), links=("bin/sh",))
    # when
    write_archive([image], tmp_path / "images.tar")
    # then
    with tarfile.open(tmp_path / "images.tar") as archive:
        (entry,) = json.loads(_read(archive, "manifest.json"))
        config = json.loads(_read(archive, entry["Config"]))
        layer = tarfile.open(fileobj=io.BytesIO(_read(archive, entry["Layers"][0])))  # noqa: SIM115 -- in memory
    assert entry["RepoTags"] == ["localhost/shell:1"]
    assert config["config"]["Entrypoint"] == ["/bin/sh"]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + entry["Layers"][0].removesuffix(".tar")]
    # A link's own mode is applied to the file when a node unpacks it.
    assert {member.name: oct(member.mode) for member in layer} == {"bin/busybox": "0o755", "bin/sh": "0o755"}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream
    return stream.read()
