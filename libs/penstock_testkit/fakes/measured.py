"""Metrics that a test can read."""

from collections import defaultdict

from penstock_runtime.telemetry.metrics import Metric


class KeptMetrics:
    """Fulfils the port `Metrics`; values by metric name and labels."""

    def __init__(self) -> None:
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        assert len(labels) == len(metric.labels), metric.name
        self.values[metric.name, *labels] += amount

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        assert len(labels) == len(metric.labels), metric.name
        self.values[metric.name, *labels] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Sum up a histogram."""
        assert len(labels) == len(metric.labels), metric.name
        self.values[metric.name, *labels] += value

    def of(self, metric: Metric, *labels: str) -> float:
        """Give the value; 0 if nothing was measured."""
        return self.values[metric.name, *labels]
