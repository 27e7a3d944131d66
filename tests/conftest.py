"""What all tests share: PostgreSQL and Redis from Debian, and the one local cluster."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtx_lab import packages
from rtx_lab.choice import choose
from rtx_lab.instance import Instance
from rtx_lab.progress import Reporter
from rtx_lab.provider import Provider, docker_works

ROOT = Path(__file__).parents[1]
NODES, FAKE_NODES = 3, 3


@pytest.fixture(scope="session", autouse=True)
def database_servers() -> None:
    """PostgreSQL and Redis, installed when root runs the tests; otherwise tests that need them are skipped."""
    if os.geteuid() == 0:
        packages.ensure(packages.SERVERS, Reporter())


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
