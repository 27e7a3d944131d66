"""What all tests share: PostgreSQL and Redis from Debian, and the one local cluster."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from rtx_lab import packages
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider, ProviderName, docker_is_running

# Their asserts say what they compared, as those of tests do.
pytest.register_assert_rewrite("upgrades", "loads", "kills", "nodes")
pytest_plugins = ["pytester", "evidence", "fault_table", "system_fixtures"]

ROOT = Path(__file__).parents[1]
NODES, FAKE_NODES = 3, 3
RUN = "RTX_TEST_RUN"  # names the folder that the processes of one run share
OURS = "cluster-is-ours"  # a file in it: the run brought the cluster up


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[RUN] = tempfile.mkdtemp(prefix="rtx-test-run-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_folder(), ignore_errors=True)


@pytest.hookimpl(trylast=True)  # an interruption leaves it to this hook to end fixtures and workers
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take down the cluster that a process of this run brought up: by now no test of any process uses it."""
    if not hasattr(session.config, "workerinput") and (_folder() / OURS).exists():
        choose(Instance()).down()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Installs PostgreSQL and Redis when root runs the tests; otherwise tests that need them are skipped.

    Before the workers of pytest-xdist start, and not in them: apt takes one caller at a time.
    """
    is_worker = hasattr(session.config, "workerinput")
    if os.geteuid() == 0 and not is_worker and not session.config.option.collectonly:
        try:
            packages.ensure(packages.SERVERS, Reporter())
        except LabError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def local_cluster() -> Provider:
    """The local cluster with real and fake nodes. One that was up already is used and stays; ours goes down again."""
    if os.geteuid() != 0 and not docker_is_running():
        pytest.skip("needs root for the local cluster, or Docker")
    provider = choose(Instance())
    with _one_process_at_a_time():
        if not provider.is_up():
            provider.prepare(ROOT, Reporter())  # which takes long enough for another run to bring it up
        with nullcontext() if provider.is_up() else _noted_as_ours(provider):
            provider.up(NODES, FAKE_NODES, Reporter())
    return provider


@contextmanager
def _noted_as_ours(provider: Provider) -> Iterator[None]:
    """What the block brings up goes down at the end of the run, also when it is interrupted."""
    ours = _folder() / OURS
    ours.touch()
    try:
        yield
    except LabError:
        if provider.name is ProviderName.NATIVE:  # which leaves nothing behind: what is up by now is another run's
            ours.unlink()
        raise


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    with (_folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder() -> Path:
    return Path(os.environ[RUN])
