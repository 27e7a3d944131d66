"""The local cluster and the images on it, by the lab's own verbs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtx_lab import images
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider

from .kubectl import Kubectl

NODES = 3
OPERATOR_IMAGE = "rtx-operator"


@contextmanager
def local_cluster(provider: Provider, root: Path, reporter: Reporter, *, keep: bool) -> Iterator[Kubectl]:
    """A cluster that is up. A new one is built together with the project's images, before anything starts.

    What this call brought up, it takes down again, however the block ends, unless kept.
    """
    found = provider.is_up()
    if not found:
        provider.prepare(root, reporter)
    try:
        if found:
            reporter.print_line("the local cluster is up already")
        else:
            provider.up(NODES, 0, reporter)
        yield Kubectl.of_local_cluster(provider.kubectl())
    finally:
        if not found and not keep:
            with reporter.step("taking the cluster down"):
                provider.down()


def build_and_load(provider: Provider, root: Path, reporter: Reporter) -> str:
    """All images onto all nodes; free where nothing changed. Returns what the operator's image was made from."""
    provider.load(provider.build([], root, reporter), reporter)
    (operator,) = images.named([OPERATOR_IMAGE])
    return images.image_key(operator, root, base="")
