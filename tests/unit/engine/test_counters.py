"""Prometheus gets from our counters what it gets from its own."""

import re

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from rtx_engine.counters import Counts, Distributions

BUCKETS = (0.002, 0.5, 1, 5)
VALUES = (0.0, 0.002, 0.0021, 0.5, 1, 1.5, 5, 5.1, 100.0, 0.25)


def exposed(registry: CollectorRegistry, name: str) -> list[str]:
    """The lines of a metric, but for when it was created."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if re.search(rf"\b{name}", line) and "_created" not in line]


def test_counter_is_exposed_as_prometheus_client_does():
    registry = CollectorRegistry()
    counter = Counter("rtx_test_orders_total", "Orders.", ["symbol", "type"], registry=registry)
    counts = Counts("rtx_test_orders_total", "Orders.", ["symbol", "type"])
    for kind in (counter, counts):
        for symbol in ("A", "B", "A"):
            kind.labels(symbol, 'a "type"\n').inc()
    theirs = exposed(registry, "rtx_test_orders")
    assert exposed(REGISTRY, "rtx_test_orders") == theirs
    assert len(theirs) == 4
    REGISTRY.unregister(counts)


def test_histogram_is_exposed_as_prometheus_client_does():
    registry = CollectorRegistry()
    histogram = Histogram("rtx_test_seconds", "Seconds.", ["symbol"], buckets=BUCKETS, registry=registry)
    distributions = Distributions("rtx_test_seconds", "Seconds.", ["symbol"], buckets=BUCKETS)
    for kind in (histogram, distributions):
        for value in VALUES:
            kind.labels("A").observe(value)
    theirs = exposed(registry, "rtx_test_seconds")
    assert exposed(REGISTRY, "rtx_test_seconds") == theirs
    assert 'rtx_test_seconds_bucket{le="+Inf",symbol="A"} 10.0' in theirs
    REGISTRY.unregister(distributions)


def test_metric_without_labels_has_one_line_for_each_bucket():
    sizes = Distributions("rtx_test_size", "Sizes.", buckets=(1, 2))
    sizes.labels().observe(2)
    assert exposed(REGISTRY, "rtx_test_size")[2:] == [
        'rtx_test_size_bucket{le="1.0"} 0.0',
        'rtx_test_size_bucket{le="2.0"} 1.0',
        'rtx_test_size_bucket{le="+Inf"} 1.0',
        "rtx_test_size_count 1.0",
        "rtx_test_size_sum 2.0",
    ]
    REGISTRY.unregister(sizes)
