"""Which node imports which image, tested with fake nodes and a fake buildah."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from rtx_lab import images, loading
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance, Node
from rtx_lab.progress import Reporter

ENGINE, REDIS = "localhost/rtx-engine:1.0.0", "localhost/rtx-redis:8"
NODES = [Instance().node(number) for number in (1, 2, 3)]


@dataclass
class Machines:
    """Remembers what was written and imported; `listings` are what a node's containerd lists."""

    listings: dict[str, str] = field(default_factory=dict)
    refusing: str = ""
    written: list[str] = field(default_factory=list)
    imported: dict[str, list[str]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)

    def archive_path(self, reference: str) -> Path:
        return Path("/cache") / f"{reference.replace('/', '_')}-abc.tar"

    def write_archive(self, _reference: str, target: Path) -> None:
        self.written.append(target.name)

    def import_archive(self, node: Node, archive: Path) -> None:
        if node.name == self.refusing:
            raise LabError(f"{node.name} has no space left")
        assert archive.name in self.written or archive.is_file()
        self.imported.setdefault(node.name, []).append(archive.name)

    def run(self, command: list[str], **_deadline: float) -> str:
        node, *words = command
        if "label" in words:
            self.labels.append(" ".join([node, *words[-2:]]))
        return self.listings.get(node, "")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    machines = Machines()
    monkeypatch.setattr(images, "archive_path", machines.archive_path)
    monkeypatch.setattr(images, "write_archive", machines.write_archive)
    monkeypatch.setattr(loading, "import_archive", machines.import_archive)
    monkeypatch.setattr(loading, "run", machines.run)
    monkeypatch.setattr(loading, "inside", lambda _, node, command: [node, *command])
    return machines


def row(reference: str, stem: str) -> str:
    """A line of `ctr images ls`."""
    labels = f"io.cri-containerd.image=managed,{loading.LABEL}={stem}"
    return f"{reference} application/vnd.docker sha256:0 62.1 MiB linux/amd64 {labels} \n"


def test_every_node_imports_every_image_in_order_and_labels_it(machines: Machines) -> None:
    # when
    loading.load([ENGINE, REDIS], NODES, Reporter())
    # then: each archive was written once
    archives = ["localhost_rtx-engine:1.0.0-abc.tar", "localhost_rtx-redis:8-abc.tar"]
    assert machines.written == archives
    assert machines.imported == {"node1": archives, "node2": archives, "node3": archives}
    assert f"node2 {REDIS} {loading.LABEL}=localhost_rtx-redis:8-abc" in machines.labels


def test_node_imports_only_missing_images(machines: Machines) -> None:
    # given: an older engine on node 1, this one on node 2, and redis everywhere
    redis = row(REDIS, "localhost_rtx-redis:8-abc")
    machines.listings = {
        "node1": row(ENGINE, "localhost_rtx-engine:1.0.0-old") + redis,
        "node2": row(ENGINE, "localhost_rtx-engine:1.0.0-abc") + redis,
        "node3": redis,
    }
    # when
    loading.load([ENGINE, REDIS], NODES, Reporter())
    # then
    engine = ["localhost_rtx-engine:1.0.0-abc.tar"]
    assert machines.written == engine
    assert machines.imported == {"node1": engine, "node3": engine}


def test_image_on_every_node_is_neither_written_nor_imported(machines: Machines) -> None:
    # given
    machines.listings = {node.name: row(REDIS, "localhost_rtx-redis:8-abc") for node in NODES}
    output = io.StringIO()
    # when
    loading.load([REDIS], NODES, Reporter(Console(file=output, width=200)))
    # then
    assert (machines.written, machines.imported) == ([], {})
    assert output.getvalue() == f"{REDIS}: already on every node\n"


def test_image_with_a_common_prefix_is_imported(machines: Machines) -> None:
    # given: the same archive under a longer name, and under the name a longer archive
    machines.listings = {
        "node1": row(f"{REDIS}.1", "localhost_rtx-redis:8-abc"),
        "node2": row(REDIS, "localhost_rtx-redis:8-abcd"),
        "node3": "",
    }
    # when
    loading.load([REDIS], NODES, Reporter())
    # then
    assert set(machines.imported) == {"node1", "node2", "node3"}


def test_archive_by_path_is_imported_on_every_node(machines: Machines, tmp_path: Path) -> None:
    # given
    archive = tmp_path / "others.tar"
    archive.touch()
    # when
    loading.load([str(archive)], NODES, Reporter())
    # then
    assert machines.imported == {node.name: ["others.tar"] for node in NODES}
    assert (machines.written, machines.labels) == ([], [])


def test_failed_import_raises(machines: Machines) -> None:
    # given
    machines.refusing = "node2"
    # then
    with pytest.raises(LabError, match=r"^node2 has no space left$"):
        loading.load([ENGINE, REDIS], NODES, Reporter())


def test_failed_archive_write_raises(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    def fails(_reference: str, _target: Path) -> None:
        raise LabError("no space left")

    monkeypatch.setattr(images, "write_archive", fails)
    # then
    with pytest.raises(LabError, match=r"^no space left$"):
        loading.load([ENGINE, REDIS], NODES, Reporter())
    assert machines.imported == {}
