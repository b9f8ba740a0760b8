"""Grafana's dashboards, made from the metrics that the services declare."""

from penstock_testkit.dashboards.approvals import APPROVALS
from penstock_testkit.dashboards.build import Dashboard, Panel, Query
from penstock_testkit.dashboards.delivery import DELIVERY
from penstock_testkit.dashboards.executors import EXECUTORS
from penstock_testkit.dashboards.runs import RUNS

DASHBOARDS = (RUNS, APPROVALS, DELIVERY, EXECUTORS)

__all__ = ["DASHBOARDS", "Dashboard", "Panel", "Query"]
