"""Metrics through prometheus_client; its only home."""

from bisect import bisect_left
from time import monotonic
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from penstock_runtime.telemetry.fields import bound_place
from penstock_runtime.telemetry.metrics import Kind, Metric
from penstock_runtime.telemetry.spans import NoSpans, Spans

EXEMPLAR_S: Final = 1.0  # between two exemplars of one bucket: each costs as much as all else


class PrometheusMetrics:
    """Fulfils the port `Metrics`; one registry an instance, never the global one.

    Children are kept by their labels, so that a measurement on a hot path is one dictionary
    lookup and one addition. What a histogram is told of within a trace that is kept has that
    trace as its exemplar.
    """

    def __init__(self, spans: Spans | None = None) -> None:
        """Begin with nothing; `spans` tells which traces are kept."""
        self._spans = spans or NoSpans()
        self._registry = CollectorRegistry(auto_describe=False)
        _ = ProcessCollector(registry=self._registry)
        _ = PlatformCollector(registry=self._registry)
        _ = GCCollector(registry=self._registry)
        self._shown: dict[tuple[int | str, ...], float] = {}
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._gauges: dict[tuple[str, ...], Gauge] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}
        self._families: dict[str, Counter | Gauge | Histogram] = {}

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        key = (metric.name, *labels)
        child = self._counters.get(key)
        if child is None:
            family = self._family(metric)
            assert isinstance(family, Counter), metric.name  # noqa: S101 - a defect of the caller
            child = self._counters[key] = family.labels(*labels) if labels else family
        child.inc(amount)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        key = (metric.name, *labels)
        child = self._gauges.get(key)
        if child is None:
            family = self._family(metric)
            assert isinstance(family, Gauge), metric.name  # noqa: S101 - a defect of the caller
            child = self._gauges[key] = family.labels(*labels) if labels else family
        child.set(value)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a histogram."""
        key = (metric.name, *labels)
        child = self._histograms.get(key)
        if child is None:
            family = self._family(metric)
            assert isinstance(family, Histogram), metric.name  # noqa: S101 - a caller's defect
            child = self._histograms[key] = family.labels(*labels) if labels else family
        place = bound_place()
        if place is not None and self._spans.wants(place) and self._shows(key, metric, value):
            child.observe(value, {"trace_id": place.trace_id})
        else:
            child.observe(value)

    def _shows(self, key: tuple[str, ...], metric: Metric, value: float) -> bool:
        """Tell whether a bucket's exemplar is older than a second; a newer one is never seen."""
        bucket, now_s = (bisect_left(metric.buckets, value), *key), monotonic()
        if now_s < self._shown.get(bucket, 0.0) + EXEMPLAR_S:
            return False
        self._shown[bucket] = now_s
        return True

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Give everything and its content type, in the format that an `Accept` header asks for.

        Only OpenMetrics shows exemplars; without the wish for it, it is Prometheus' text format.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _family(self, metric: Metric) -> Counter | Gauge | Histogram:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = self._declare(metric)
        return family

    def _declare(self, metric: Metric) -> Counter | Gauge | Histogram:
        match metric.kind:
            case Kind.COUNTER:
                return Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            case Kind.GAUGE:
                return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
            case Kind.HISTOGRAM:
                return Histogram(
                    metric.name,
                    metric.help,
                    metric.labels,
                    registry=self._registry,
                    buckets=metric.buckets,
                )
