"""The local cluster and its images, through the lab's provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtx_lab import images
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider

from .kubectl import Kubectl

NODES = 3
OPERATOR_IMAGE = "localhost/rtx-operator:dev"


@contextmanager
def local_cluster(provider: Provider, root: Path, reporter: Reporter, *, keep: bool) -> Iterator[Kubectl]:
    """A running cluster. For a new one, programs and images are built first, concurrently.

    A cluster that this call started is stopped when the block ends, also by an exception, unless `keep` is set.
    Raises LabError.
    """
    found = provider.is_up()
    if not found:
        provider.prepare(root, reporter)
    try:
        if found:
            reporter.print_line("the local cluster is already running")
        else:
            provider.up(NODES, 0, reporter)
        yield Kubectl.of_local_cluster(provider.kubectl())
    finally:
        if not found and not keep:
            with reporter.step("stopping the cluster"):
                provider.down()


def build_and_load(provider: Provider, root: Path, reporter: Reporter) -> str:
    """Load all images onto all nodes; unchanged ones are skipped. Returns the content hash of the operator's image."""
    provider.load(provider.build([], root, reporter), reporter)
    (operator,) = images.named([OPERATOR_IMAGE])
    return images.image_key(operator, root, base="")
