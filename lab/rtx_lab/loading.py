"""Loads images onto the nodes that lack them.

All nodes import in parallel while the archives of the next images are written. A node imports images one after the
other: two at the same time would both unpack the layers that they share.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtx_lab import images
from rtx_lab.instance import Node
from rtx_lab.nodes import import_archive
from rtx_lab.processes import inside, run
from rtx_lab.progress import Reporter
from rtx_lab.tasks import run_concurrently

LABEL = "rtx-lab/archive"  # containerd label of an image: the archive that it was imported from
DEADLINE_SECONDS = 30.0
MAX_CONCURRENT_QUERIES = 4  # of buildah; each starts a process


@dataclass(frozen=True)
class Source:
    """An image to load: one in buildah's storage by `name`, or an archive by path, which contains the names."""

    name: str
    archive: Path
    is_file: bool = False

    def is_listed_in(self, listing: str) -> bool:
        """Whether a node's `ctr images ls` lists exactly this image under this name."""
        if self.is_file:
            return False  # its content is known only after an import
        label = rf"{re.escape(LABEL)}={re.escape(self.archive.stem)}(,|\s|$)"
        return any(line.startswith(f"{self.name} ") and re.search(label, line) for line in listing.splitlines())


def load(names: Sequence[str], nodes: Sequence[Node], reporter: Reporter) -> None:
    """Loads images by name from buildah's storage, or by path from Docker or OCI archives.

    Raises LabError for a name that is neither, and when an import fails.
    """
    sources = run_concurrently([partial(_source, name) for name in names], concurrency=MAX_CONCURRENT_QUERIES)
    listings = run_concurrently([partial(_listing, node) for node in nodes], concurrency=len(nodes))
    lacking = {
        node: [source for source in sources if not source.is_listed_in(listing)]
        for node, listing in zip(nodes, listings, strict=True)
    }
    needed = [source for source in sources if any(source in lacks for lacks in lacking.values())]
    if not needed:
        reporter.print_line(f"{_describe([source.name for source in sources])}: already on every node")
        return
    with reporter.step(f"loading {_describe([source.name for source in needed])}"), ThreadPoolExecutor(1) as writer:
        archives = {source: writer.submit(_write_archive, source) for source in needed}
        try:
            run_concurrently(
                [partial(_import_missing, node, lacks, archives) for node, lacks in lacking.items()],
                concurrency=len(nodes),
            )
        finally:
            writer.shutdown(wait=False, cancel_futures=True)


def _source(name: str) -> Source:
    if Path(name).is_file():
        return Source(name, Path(name).resolve(), is_file=True)
    return Source(name, images.archive_path(name))


def _listing(node: Node) -> str:
    return run(inside(node.instance, node.name, [*_ctr("images", "ls")]), deadline_s=DEADLINE_SECONDS)


def _write_archive(source: Source) -> None:
    if not source.is_file:
        images.write_archive(source.name, source.archive)


def _import_missing(node: Node, sources: Sequence[Source], archives: Mapping[Source, "Future[None]"]) -> None:
    for source in sources:
        archives[source].result()
        import_archive(node, source.archive)
        if not source.is_file:
            label = [*_ctr("images", "label"), source.name, f"{LABEL}={source.archive.stem}"]
            run(inside(node.instance, node.name, label), deadline_s=DEADLINE_SECONDS)


def _describe(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} images"


def _ctr(*words: str) -> list[str]:
    return ["ctr", "--namespace=k8s.io", *words]
