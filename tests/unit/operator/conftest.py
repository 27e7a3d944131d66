"""Fixtures of the operator's tests."""

import pytest
from cutover_walks import until_retiring, upgraded
from cutover_world import World, copied, installed

INSTALLED = installed()


@pytest.fixture
def world() -> World:
    """An engine of version 1.0.0 in blue."""
    return copied(INSTALLED)


@pytest.fixture
def retiring(world: World) -> World:
    """1.1.0 in green; the retirement of 1.0.0 in blue has begun."""
    until_retiring(upgraded(world))
    return world
