"""Default sizes, and their adjustment to the values of a spec."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtx_operator.api import sizes
from rtx_operator.api.enums import Environment
from rtx_operator.api.quantities import amount
from rtx_operator.api.sizes import ReplicaRange
from rtx_operator.api.spec import MAX_REPLICAS, Amounts, Resources, Scaling

ENVIRONMENTS = st.sampled_from([None, *Environment])
CPU = st.none() | st.integers(1, 64_000).map(lambda millis: f"{millis}m") | st.integers(1, 64).map(str)
MEMORY = st.none() | st.builds("{}{}".format, st.integers(1, 900), st.sampled_from(["M", "Mi", "G", "Gi"]))
REPLICAS = st.none() | st.integers(1, MAX_REPLICAS)


@pytest.mark.parametrize(
    ("written", "number"),
    [("500m", Fraction(1, 2)), ("2", 2), ("0.1", Fraction(1, 10)), ("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("2k", 2000)],
)
def test_quantity_is_parsed_exactly(written: str, number: Fraction) -> None:
    assert amount(written) == number


@pytest.mark.parametrize("written", ["", "Gi", "1GB", "1iG", "-1", "1e3", "1/2", "one"])
def test_invalid_quantity_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity: write for example"):
        amount(written)


@pytest.mark.parametrize(
    ("environment", "pods", "requests", "limits"),
    [
        (None, ReplicaRange(3, 10), ("250m", "256Mi"), ("500m", "512Mi")),
        (Environment.DEVELOPMENT, ReplicaRange(1, 1), ("250m", "256Mi"), ("1", "1Gi")),
        (Environment.STAGING, ReplicaRange(2, 2), ("500m", "512Mi"), ("2", "2Gi")),
        (Environment.PRODUCTION, ReplicaRange(3, 20), ("500m", "512Mi"), ("2", "2Gi")),
    ],
)
def test_environment_selects_default_sizes(
    environment: Environment | None, pods: ReplicaRange, requests: tuple[str, str], limits: tuple[str, str]
) -> None:
    resources = sizes.engine_resources(environment, Resources())

    assert sizes.replica_range(environment, Scaling()) == pods
    assert (resources.requests.cpu, resources.requests.memory) == requests
    assert (resources.limits.cpu, resources.limits.memory) == limits


def test_request_above_the_default_limit_raises_the_limit() -> None:
    resources = sizes.engine_resources(None, Resources(requests=Amounts(cpu="2")))

    assert (resources.requests.cpu, resources.limits.cpu) == ("2", "2")


def test_limit_below_the_default_request_lowers_the_request() -> None:
    resources = sizes.database_resources(Resources(limits=Amounts(memory="512Mi")))

    assert (resources.requests.memory, resources.limits.memory) == ("512Mi", "512Mi")


@given(ENVIRONMENTS, CPU, CPU, MEMORY, MEMORY)
def test_spec_amounts_are_kept_and_no_request_exceeds_its_limit(
    environment: Environment | None, cpu: str | None, max_cpu: str | None, memory: str | None, max_memory: str | None
) -> None:
    if cpu and max_cpu and amount(cpu) > amount(max_cpu):
        cpu, max_cpu = max_cpu, cpu  # the API server refuses the opposite
    if memory and max_memory and amount(memory) > amount(max_memory):
        memory, max_memory = max_memory, memory
    given_sizes = Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(cpu=max_cpu, memory=max_memory))

    for got in (
        sizes.engine_resources(environment, given_sizes),
        sizes.database_resources(given_sizes),
        sizes.cache_resources(given_sizes),
    ):
        pairs = [(got.requests.cpu, got.limits.cpu), (got.requests.memory, got.limits.memory)]
        assert all(request and limit and amount(request) <= amount(limit) for request, limit in pairs)
        assert got.requests.cpu == (cpu or got.requests.cpu)
        assert got.limits.cpu == (max_cpu or got.limits.cpu)
        assert got.requests.memory == (memory or got.requests.memory)
        assert got.limits.memory == (max_memory or got.limits.memory)


@given(ENVIRONMENTS, REPLICAS, REPLICAS)
def test_replica_range_is_never_empty_and_keeps_spec_values(
    environment: Environment | None, minimum: int | None, maximum: int | None
) -> None:
    if minimum and maximum and minimum > maximum:
        minimum, maximum = maximum, minimum  # the API server refuses the opposite

    pods = sizes.replica_range(environment, Scaling(min_replicas=minimum, max_replicas=maximum))

    assert 1 <= pods.minimum <= pods.maximum <= MAX_REPLICAS
    assert pods.minimum == (minimum or pods.minimum)
    assert pods.maximum == (maximum or pods.maximum)
