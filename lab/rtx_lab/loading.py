"""Brings images onto every node at once, and only onto those that lack them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rtx_lab import images
from rtx_lab.instance import Node
from rtx_lab.nodes import import_archive
from rtx_lab.processes import inside, run
from rtx_lab.progress import Reporter

LABEL = "rtx-lab/archive"  # containerd's label on an image: the archive it came from
DEADLINE_S = 30.0


def load(names: list[str], nodes: list[Node], reporter: Reporter) -> None:
    """Loads images by name from buildah's storage, or as Docker or OCI archives by path.

    Raises LabError for a name that is neither, and when a node refuses the archive.
    """
    for name in names:
        if Path(name).is_file():
            _everywhere(nodes, partial(import_archive, archive=Path(name).resolve()), reporter, name)
        else:
            archive = images.archive(name)
            lacking = [node for node in nodes if not has(node, name, archive.stem)]
            _everywhere(lacking, partial(_import, name=name, archive=archive), reporter, name)


def _everywhere(nodes: list[Node], import_into: Callable[[Node], None], reporter: Reporter, name: str) -> None:
    if not nodes:
        reporter.say(f"{name} is on every node already")
        return
    with reporter.step(f"loading {name}"), ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(import_into, nodes))


def has(node: Node, name: str, archive: str) -> bool:
    """Whether the node has exactly this image under this name, as its containerd remembers."""
    listing = run(inside(node.instance, node.name, [*_ctr("images", "ls"), f"name=={name}"]), deadline_s=DEADLINE_S)
    return re.search(rf"{re.escape(LABEL)}={re.escape(archive)}(,|\s|$)", listing) is not None


def _import(node: Node, name: str, archive: Path) -> None:
    import_archive(node, archive)
    label = [*_ctr("images", "label"), name, f"{LABEL}={archive.stem}"]
    run(inside(node.instance, node.name, label), deadline_s=DEADLINE_S)


def _ctr(*words: str) -> list[str]:
    return ["ctr", "--namespace=k8s.io", *words]
