"""PromQL from declared metrics, so that no dashboard asks for a name that nobody writes."""

from __future__ import annotations

from penstock_runtime.telemetry.metrics import Kind, Metric

RANGE = "$__rate_interval"
PERCENT_OF_ONE = 100


def rate(metric: Metric, *by: str, where: str = "", sparse: bool = False) -> str:
    """Per second, summed by labels; `sparse`: 0 where it has never happened."""
    name = metric.name
    _expect(metric, Kind.COUNTER, by)
    found = f"sum{_by(by)} (rate({name}{_where(where)}[{RANGE}]))"
    return f"{found} or vector(0)" if sparse else found


def count(metric: Metric, *by: str, where: str = "") -> str:
    """How often a histogram was observed, per second."""
    _expect(metric, Kind.HISTOGRAM, by)
    return f"sum{_by(by)} (rate({metric.name}_count{_where(where)}[{RANGE}]))"


def quantile(share: float, metric: Metric, *by: str, where: str = "") -> str:
    """A quantile of a histogram."""
    _expect(metric, Kind.HISTOGRAM, by)
    grouped = f"sum{_by(('le', *by))} (rate({metric.name}_bucket{_where(where)}[{RANGE}]))"
    return f"histogram_quantile({share}, {grouped})"


def highest(metric: Metric, *by: str, where: str = "") -> str:
    """The highest over all instances: of what each of them tells of the same thing."""
    _expect(metric, Kind.GAUGE, by)
    return f"max{_by(by)} ({metric.name}{_where(where)})"


def lowest(metric: Metric, *by: str, where: str = "") -> str:
    """The lowest over all instances."""
    _expect(metric, Kind.GAUGE, by)
    return f"min{_by(by)} ({metric.name}{_where(where)})"


def total(metric: Metric, *by: str, where: str = "") -> str:
    """The sum over all instances: of what each has for itself."""
    _expect(metric, Kind.GAUGE, by)
    return f"sum{_by(by)} ({metric.name}{_where(where)})"


def age(metric: Metric, *by: str, where: str = "") -> str:
    """Seconds since the moment that a gauge names; 0 where it names none."""
    found = highest(metric, *by, where=where)
    return f"(time() - {found}) * ({found} > bool 0)"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _where(text: str) -> str:
    return f"{{{text}}}" if text else ""


def _expect(metric: Metric, kind: Kind, by: tuple[str, ...]) -> None:
    unknown = set(by) - {*metric.labels, "service", "instance"}
    if metric.kind is not kind or unknown:
        raise ValueError(f"{metric.name} is a {metric.kind} with {metric.labels}, not by {by}")
