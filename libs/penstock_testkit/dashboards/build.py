"""Dashboards as plain data, and the JSON that Grafana reads: the same data, the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39  # of Grafana 11; newer ones migrate it when they load it
COLUMNS = 24
PANEL_HEIGHT = 8
STAT_HEIGHT = 4
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and how its series are called in the legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        text: what a reader learns from it, and when to worry.
        unit: one of Grafana's: `s`, `bytes`, `percentunit`, `ops`, `short`, `bool_on_off`.
        stat: one number instead of lines.
        width: of `COLUMNS`.
        alarm: value from which it is shown red.
    """

    title: str
    text: str
    queries: Sequence[Query]
    unit: str = "short"
    stat: bool = False
    width: int = 8
    alarm: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top: all values of a label of a metric."""

    name: str
    metric: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `uid` is its address for ever."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()

    @property
    def panels(self) -> Sequence[Panel]:
        """All panels, in order."""
        return [panel for row in self.rows for panel in row.panels]


def document(dashboard: Dashboard) -> str:
    """Give the JSON of a dashboard."""
    whole: Json = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["penstock"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "links": [_links()],
        "templating": {"list": [_variable(variable) for variable in dashboard.variables]},
        "annotations": {"list": []},
        "panels": _panels(dashboard.rows),
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _links() -> Json:
    return {
        "type": "dashboards",
        "title": "Penstock",
        "tags": ["penstock"],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
    }


def _variable(variable: Variable) -> Json:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.name,
        "datasource": PROMETHEUS,
        "query": f"label_values({variable.metric}, {variable.name})",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: Sequence[Row]) -> list[Json]:
    made: list[Json] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        heading = {"type": "row", "title": row.title, "collapsed": False, "gridPos": place}
        made.append({"id": len(made) + 1, **heading, "panels": []})
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            height = STAT_HEIGHT if panel.stat else PANEL_HEIGHT
            if x + panel.width > COLUMNS:
                y, x, tallest = y + tallest, 0, 0
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            made.append(_panel(panel, len(made) + 1, place))
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest
    return made


def _panel(panel: Panel, number: int, place: Json) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if not panel.stat:
        shown = "off" if panel.alarm is None else "dashed"
        defaults["custom"] = {"fillOpacity": 8, "thresholdsStyle": {"mode": shown}}
    return {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": PROMETHEUS,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _stat_options() if panel.stat else _line_options(),
        "targets": [
            {
                "refId": chr(ord("A") + place_),
                "datasource": PROMETHEUS,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
                "exemplar": not panel.stat,
            }
            for place_, query in enumerate(panel.queries)
        ],
    }


def _stat_options() -> Json:
    return {
        "colorMode": "value",
        "graphMode": "area",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _line_options() -> Json:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
