"""Fixtures of the operator's tests."""

import pytest
from cutover_world import World, copied, installed

INSTALLED = installed()


@pytest.fixture
def world() -> World:
    """An engine of version 1.0.0 in blue."""
    return copied(INSTALLED)
