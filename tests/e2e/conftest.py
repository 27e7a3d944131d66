"""The system as users deploy it: three real nodes, images from the Dockerfiles, the operator by kustomize.

Engines are made from the sample. One is shared by the tests that leave it as it is; the others make their own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_demo import cluster, installation
from rtx_demo.engine import Engine
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def kubectl(local_cluster: Provider) -> Kubectl:
    """The local cluster with our images and the operator on it; any other cluster is refused."""
    kubectl = Kubectl.of_local_cluster(local_cluster.kubectl())
    image_id = cluster.build_and_load(local_cluster, ROOT, Reporter())
    installation.install(kubectl, ROOT, image_id=image_id)
    return kubectl


@pytest.fixture(scope="session")
def sample(kubectl: Kubectl) -> Sample:
    return Sample(kubectl, ROOT)


@pytest.fixture(scope="session")
def engine(sample: Sample) -> Iterator[Engine]:
    """The shared one: tests leave it as they find it."""
    with sample.temporary() as engine:
        yield engine
