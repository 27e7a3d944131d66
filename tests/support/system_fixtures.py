"""The system as users deploy it: three real nodes, images from the Dockerfiles, the operator by kustomize.

A pytest plugin for tests/e2e and tests/faults. All engines are made from the sample. Tests that change nothing share
the fixture `engine`; tests that upgrade under load share the testbed's engine; other tests make their own.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from evidence import REPORT, add_load_report, failed_or_interrupted
from fault_table import add_failed_requests
from loads import LOAD, Load, running_load
from rtx_demo import cluster, installation
from rtx_demo.engine import Engine
from rtx_demo.errors import DemoError
from rtx_demo.kubectl import Kubectl
from rtx_demo.sample import Sample
from rtx_demo.traffic import Settings
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider
from testbed import Testbed
from upgrades import Upgrades, assert_succeeded, new_revision

ROOT = Path(__file__).parents[2]

StartLoad = Callable[..., AbstractContextManager[Load]]
"""(engine, settings = LOAD) → a context manager: inside the block a load runs on the engine."""


@pytest.fixture(scope="session")
def kubectl(local_cluster: Provider) -> Kubectl:
    """kubectl for the local cluster, with our images and the operator installed; any other cluster is refused."""
    kubectl = Kubectl.of_local_cluster(local_cluster.kubectl())
    image_id = cluster.build_and_load(local_cluster, ROOT, Reporter())
    installation.install(kubectl, ROOT, image_id=image_id)
    return kubectl


@pytest.fixture(scope="session")
def sample(kubectl: Kubectl) -> Sample:
    return Sample(kubectl, ROOT)


@pytest.fixture(scope="session")
def engine(sample: Sample) -> Iterator[Engine]:
    """An engine that all tests share: each leaves it as it was."""
    with sample.temporary() as engine:
        yield engine


@pytest.fixture(scope="session")
def testbed(sample: Sample) -> Iterator[Testbed]:
    testbed = Testbed(sample)
    yield testbed
    testbed.discard()


@pytest.fixture
def upgrades(testbed: Testbed, kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[Upgrades]:
    """The testbed's engine. It is replaced after a test that failed or left damage behind; damage fails the test."""
    yield testbed.upgrades()
    upgrades, loaded = testbed.running
    with ExitStack() as unless_undamaged:
        unless_undamaged.callback(testbed.discard)
        if failed_or_interrupted(request.node):
            if (
                loaded and REPORT in request.node.stash
            ):  # without a report it was interrupted: do not wait for a verdict
                add_load_report(request.node, loaded, upgrades)
        elif damage := testbed.damage():
            pytest.fail(f"the test left damage behind, and its engine was replaced: {damage}")
        else:
            unless_undamaged.pop_all()


@pytest.fixture
def loaded(upgrades: Upgrades, testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[Load]:
    """The testbed's load, which keeps running from test to test."""
    loaded = testbed.loaded()
    before = loaded.failed_requests()
    yield loaded
    loaded.completed_tests += 1
    add_failed_requests(request.node, loaded.failed_requests() - before)


@pytest.fixture(scope="module")
def module_load(testbed: Testbed) -> Iterator[None]:
    """End the testbed's load after the module's last test."""
    yield
    testbed.end_load()


@pytest.fixture(scope="module")
def module_engine(testbed: Testbed) -> Iterator[None]:
    """Start the module with a new engine of the oldest version; end the testbed's load after its last test."""
    testbed.discard()
    yield
    testbed.end_load()


@pytest.fixture(scope="module")
def paused_upgrades(testbed: Testbed) -> Iterator[Upgrades]:
    """The testbed's engine, paused, with pods of both colours; it is discarded after the module's last test."""
    upgrades = testbed.upgrades()
    if not upgrades.wait_until_reconciled().get("previous"):
        assert_succeeded(upgrades, upgrades.upgrade(**new_revision()))
    assert upgrades.status().get("previous"), "the previous colour is not kept, so only one colour has pods"
    upgrades.patch(paused=True)
    upgrades.wait_until_reconciled()
    yield upgrades
    testbed.discard()


@pytest.fixture
def start_load(testbed: Testbed, request: pytest.FixtureRequest) -> StartLoad:
    """Starts a load of the test's own on any engine; it ends the testbed's load, whose pods have the same names."""

    @contextmanager
    def started(engine: Engine, settings: Settings = LOAD) -> Iterator[Load]:
        testbed.end_load()
        with running_load(engine, settings) as loaded:
            try:
                yield loaded
            except (Exception, pytest.fail.Exception):
                add_load_report(request.node, loaded, testbed.running[0])
                raise
            finally:
                with suppress(DemoError):  # must not hide the block's own error; a verdict raises the same DemoError
                    add_failed_requests(request.node, loaded.failed_requests())

    return started
