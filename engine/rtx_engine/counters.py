"""Counters and histograms that one thread changes, so without a lock: four of them were 3 % of an order's CPU.

Prometheus reads them from another thread, a moment old at most.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Count:
    """Of one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1


class Distribution:
    """Observations by bucket, of one set of labels."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # not cumulative; the last is of what exceeds all bounds
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus has them."""
        found, before = [], 0
        for bound, count in zip([*map(float, self._bounds), "+Inf"], self.counts, strict=True):
            before += count
            found.append((str(bound), float(before)))
        return found


Child = TypeVar("Child", Count, Distribution)


class _Family(Collector, Generic[Child]):
    """A metric, with its children by the values of their labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._documentation = documentation
        self._label_names = labels
        self._children: dict[tuple[str, ...], Child] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Child:
        """Bind it once: it is looked up."""
        if values not in self._children:
            self._children[values] = self._new()
        return self._children[values]

    def _new(self) -> Child:
        raise NotImplementedError


class Counts(_Family[Count]):
    """A counter; its name ends in `_total`."""

    def _new(self) -> Count:
        return Count()

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._label_names)
        for values, count in list(self._children.items()):
            family.add_metric(values, count.value)
        yield family


class Distributions(_Family[Distribution]):
    """A histogram."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> None:
        self._bounds = buckets
        super().__init__(name, documentation, labels)

    def _new(self) -> Distribution:
        return Distribution(self._bounds)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._label_names)
        for values, found in list(self._children.items()):
            family.add_metric(values, found.cumulative(), found.total)
        yield family
