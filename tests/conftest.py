"""What all tests share: PostgreSQL and Redis from Debian, and the one local cluster."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_lab import packages
from rtx_lab.choice import choose
from rtx_lab.errors import LabError
from rtx_lab.instance import Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider, docker_works

ROOT = Path(__file__).parents[1]
NODES, FAKE_NODES = 3, 3
SERVERS = {"/usr/lib/postgresql": "postgresql", "redis-server": "redis-server"}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Installs PostgreSQL and Redis when root runs the tests; otherwise tests that need them are skipped.

    Before the workers of pytest-xdist start, and not in them: apt takes one caller at a time.
    """
    is_worker = hasattr(session.config, "workerinput")
    if os.geteuid() == 0 and not is_worker and not session.config.option.collectonly:
        try:
            packages.ensure(SERVERS, Reporter())
        except LabError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[Provider]:
    """The local cluster with real and fake nodes. One that was up already is used and stays; ours goes down again."""
    if os.geteuid() != 0 and not docker_works():
        pytest.skip("needs root for the local cluster, or Docker")
    provider = choose(Instance())
    found = provider.is_up()
    try:
        provider.up(NODES, FAKE_NODES, Reporter())
        yield provider
    finally:
        if not found:
            provider.down()
