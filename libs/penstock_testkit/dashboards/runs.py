"""Runs and agents: what is asked for, what becomes of it, how long it takes."""

from __future__ import annotations

from penstock_runtime.telemetry import metrics as m
from penstock_testkit.dashboards.build import Dashboard, Panel, Query, Row, Variable
from penstock_testkit.dashboards.expressions import age, count, highest, quantile, rate, total

AGENT = 'agent=~"$agent"'
FAILED = f'{AGENT}, outcome!="succeeded"'
RUN_PARTITIONS = 'partition=~"run-.*"'
SERVED = 'route=~"/api/.*"'

RUNS = Dashboard(
    "penstock-runs",
    "Penstock: runs and agents",
    "What is asked for, what becomes of it and how long it takes.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Runs open",
                    "Runs that have not ended.",
                    [
                        Query(
                            f"sum({highest(m.OPEN_AGGREGATES, 'partition', where=RUN_PARTITIONS)})"
                        )
                    ],
                    stat=True,
                    width=4,
                ),
                Panel(
                    "Tasks queued",
                    "Tasks that no executor has taken yet.",
                    [Query(f"sum({highest(m.TASKS_QUEUED, 'pool')})")],
                    stat=True,
                    width=4,
                ),
                Panel(
                    "Tasks in work",
                    "Over all executors.",
                    [Query(total(m.TASKS_RUNNING))],
                    stat=True,
                    width=4,
                ),
                Panel(
                    "Approvals waiting",
                    "People are asked and have not settled it.",
                    [Query(highest(m.APPROVALS_WAITING))],
                    stat=True,
                    width=4,
                ),
                Panel(
                    "Longest wait for people",
                    "Of the approvals that wait now.",
                    [Query(age(m.APPROVAL_OLDEST))],
                    "s",
                    stat=True,
                    width=4,
                    alarm=14_400,
                ),
                Panel(
                    "Outcomes unknown",
                    "Attempts of the last day whose effect somebody looks up.",
                    [Query(f"sum(increase({m.OUTCOMES_UNKNOWN.name}[1d])) or vector(0)")],
                    stat=True,
                    width=4,
                    alarm=1,
                ),
            ),
        ),
        Row(
            "Runs",
            (
                Panel(
                    "Triggers",
                    "Matched ones start runs, ignored ones fit no workflow.",
                    [Query(rate(m.TRIGGERS_DECIDED, "outcome"), "{{outcome}}")],
                    "ops",
                ),
                Panel(
                    "Runs started and ended",
                    "By outcome.",
                    [
                        Query(rate(m.RUNS_STARTED), "started"),
                        Query(rate(m.RUNS_ENDED, "outcome"), "{{outcome}}"),
                    ],
                    "ops",
                ),
                Panel(
                    "Duration of runs",
                    "Start to end, waiting for people included.",
                    [
                        Query(quantile(share, m.RUN_SECONDS), f"p{share * 100:g}")
                        for share in (0.5, 0.95, 0.99)
                    ],
                    "s",
                ),
                Panel(
                    "Failed attempts",
                    "By code; a retry may still save the run.",
                    [Query(rate(m.ATTEMPTS_FAILED, "code", sparse=True), "{{code}}")],
                    "ops",
                ),
                Panel(
                    "Timers",
                    "Retries, timeouts, expiries and schedules that came due.",
                    [Query(rate(m.TIMERS_FIRED, "partition", sparse=True), "{{partition}}")],
                    "ops",
                ),
                Panel(
                    "Commands refused",
                    "By code: what people or programs asked in vain.",
                    [Query(rate(m.REJECTED, "code", sparse=True), "{{code}}")],
                    "ops",
                ),
            ),
        ),
        Row(
            "Agents",
            (
                Panel(
                    "Tasks ended",
                    "By agent.",
                    [Query(rate(m.TASKS_ENDED, "agent", where=AGENT), "{{agent}}")],
                    "ops",
                ),
                Panel(
                    "Tasks that did not succeed",
                    "By agent and code.",
                    [
                        Query(
                            rate(m.TASKS_ENDED, "agent", "outcome", where=FAILED, sparse=True),
                            "{{agent}}: {{outcome}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Duration of tasks (p95)",
                    "Inside the sandbox, by agent.",
                    [Query(quantile(0.95, m.TASK_SECONDS, "agent", where=AGENT), "{{agent}}")],
                    "s",
                ),
            ),
        ),
        Row(
            "API",
            (
                Panel(
                    "Requests",
                    "By route.",
                    [
                        Query(
                            rate(m.HTTP_REQUESTS, "method", "route", where=SERVED),
                            "{{method}} {{route}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Requests that failed",
                    "By status; 5xx are ours, 429 is the rate limit.",
                    [
                        Query(
                            rate(m.HTTP_REQUESTS, "status", where='status=~"[45].."', sparse=True),
                            "{{status}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Latency (p95)",
                    "By route; waiting for a trigger's outcome is part of it.",
                    [Query(quantile(0.95, m.HTTP_SECONDS, "route", where=SERVED), "{{route}}")],
                    "s",
                ),
                Panel(
                    "Requests in work",
                    "Live event streams included.",
                    [Query(total(m.HTTP_OPEN), "open")],
                ),
                Panel(
                    "Refused by the rate limit",
                    "Per second.",
                    [Query(rate(m.RATE_LIMITED, sparse=True), "429")],
                    "ops",
                ),
                Panel(
                    "Requests served",
                    "All routes, as the histogram counts them.",
                    [Query(count(m.HTTP_SECONDS, "service"), "{{service}}")],
                    "ops",
                ),
            ),
        ),
    ),
    (Variable("agent", m.TASKS_ENDED.name),),
)
