"""Shared by all tests: PostgreSQL and Redis from Debian, and the local cluster."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import hypothesis
import pytest
from rtx_lab import packages
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider, ProviderName, docker_is_running

# How long one example takes says how busy the machine is.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")
# So that their asserts report both sides of a comparison, as those of test files do.
pytest.register_assert_rewrite("upgrades", "loads", "kills", "nodes")
pytest_plugins = ["pytester", "evidence", "fault_table", "system_fixtures"]

ROOT = Path(__file__).parents[1]
NODES, FAKE_NODES = 3, 3
RUN_FOLDER_VARIABLE = "RTX_TEST_RUN"  # in the environment: a folder that all processes of one run share
CLUSTER_STARTED_FILE = "cluster-started"  # in that folder: this run started the cluster


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[RUN_FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="rtx-test-run-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_run_folder(), ignore_errors=True)


@pytest.hookimpl(trylast=True)  # after an interruption, this hook's other implementations end fixtures and workers
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take down the cluster if this run started it: no test of any process uses it any more."""
    if not hasattr(session.config, "workerinput") and (_run_folder() / CLUSTER_STARTED_FILE).exists():
        choose(Instance()).down()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Install PostgreSQL and Redis if root runs the tests; otherwise tests that need them are skipped.

    It happens before the workers of pytest-xdist start: apt takes one caller at a time.
    """
    is_worker = hasattr(session.config, "workerinput")
    if os.geteuid() == 0 and not is_worker and not session.config.option.collectonly:
        try:
            packages.ensure(packages.SERVERS, Reporter())
        except LabError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def local_cluster() -> Provider:
    """The local cluster with real and fake nodes. This run uses one that is up, or starts it and takes it down."""
    if os.geteuid() != 0 and not docker_is_running():
        pytest.skip("needs root for the local cluster, or Docker")
    provider = choose(Instance())
    with _one_process_at_a_time():
        if not provider.is_up():
            provider.prepare(ROOT, Reporter())  # takes minutes: another run may start the cluster meanwhile
        with nullcontext() if provider.is_up() else _taken_down_after_the_run(provider):
            provider.up(NODES, FAKE_NODES, Reporter())
    return provider


@contextmanager
def _taken_down_after_the_run(provider: Provider) -> Iterator[None]:
    """The cluster that the block starts is taken down at the end of the run, even if the start is interrupted."""
    started = _run_folder() / CLUSTER_STARTED_FILE
    started.touch()
    try:
        yield
    except LabError:
        if (
            provider.name is ProviderName.NATIVE
        ):  # it removed what it had started: a cluster that is up is another run's
            started.unlink()
        raise


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    with (_run_folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_folder() -> Path:
    return Path(os.environ[RUN_FOLDER_VARIABLE])
