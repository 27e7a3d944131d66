"""The system as users deploy it: three real nodes, images from the Dockerfiles, the operator by kustomize.

A pytest plugin for tests/e2e and tests/faults. Engines are made from the sample: one is shared by tests that leave it
as it is, one by tests that upgrade it under load (the testbed), and the others are a test's own.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from evidence import REPORT, add_load, failed
from fault_table import add_failed_requests
from loads import LOAD, Load, load
from rtx_demo import cluster, installation
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider
from testbed import Testbed
from upgrades import Upgrades, assert_succeeded, other_pods

ROOT = Path(__file__).parents[2]

StartLoad = Callable[..., AbstractContextManager[Load]]
"""(engine, settings = LOAD) → a load inside the block."""


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


@pytest.fixture(scope="session")
def testbed(sample: Sample) -> Iterator[Testbed]:
    testbed = Testbed(sample)
    yield testbed
    testbed.discard()


@pytest.fixture
def upgrades(testbed: Testbed, kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[Upgrades]:
    """The testbed's engine. What a test that failed leaves of it goes; what one that passed has damaged fails it."""
    yield testbed.upgrades()
    upgrades, loaded = testbed.running
    with ExitStack() as unless_whole:
        unless_whole.callback(testbed.discard)
        if failed(request.node):
            if loaded and REPORT in request.node.stash:  # otherwise it was interrupted, and nobody waits for a verdict
                add_load(request.node, loaded, upgrades)
        elif damage := testbed.damage():
            pytest.fail(f"the test left damage behind, and its engine was replaced: {damage}")
        else:
            unless_whole.pop_all()


@pytest.fixture
def loaded(upgrades: Upgrades, testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[Load]:
    """The testbed's load, which goes on from test to test."""
    loaded = testbed.loaded()
    before = loaded.failed()
    yield loaded
    loaded.gone_through += 1
    add_failed_requests(request.node, loaded.failed() - before)


@pytest.fixture(scope="module")
def load_of_the_module(testbed: Testbed) -> Iterator[None]:
    """Ends the testbed's load with the module."""
    yield
    testbed.end_load()


@pytest.fixture(scope="module")
def engine_of_the_module(testbed: Testbed) -> Iterator[None]:
    """The module's tests begin with a new engine of the oldest version, whatever those before have made of theirs."""
    testbed.discard()
    yield
    testbed.end_load()


@pytest.fixture(scope="module")
def unattended(testbed: Testbed) -> Iterator[Upgrades]:
    """The testbed's engine with both colours warm, which the operator leaves alone; nobody uses it afterwards."""
    upgrades = testbed.upgrades()
    if not upgrades.settle().get("previous"):
        assert_succeeded(upgrades, upgrades.upgrade(**other_pods()))
    assert upgrades.status().get("previous"), "the colour before is not kept"
    upgrades.patch(paused=True)
    upgrades.settle()
    yield upgrades
    testbed.discard()


@pytest.fixture
def start_load(testbed: Testbed, request: pytest.FixtureRequest) -> StartLoad:
    """A load of the test's own, on any engine; the testbed's ends, as the pods have the same names."""

    @contextmanager
    def started(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
        testbed.end_load()
        with load(engine, settings) as loaded:
            try:
                yield loaded
            except (Exception, pytest.fail.Exception):
                add_load(request.node, loaded, testbed.running[0])
                raise
            finally:
                with suppress(DemoError):  # what the block raised says more, and a verdict would have raised the same
                    add_failed_requests(request.node, loaded.failed())

    return started
