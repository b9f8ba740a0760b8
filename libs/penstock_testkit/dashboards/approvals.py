"""Approvals: who waits for whom, for how long, and what people decide."""

from __future__ import annotations

from penstock_runtime.telemetry import metrics as m
from penstock_testkit.dashboards.build import Dashboard, Panel, Query, Row
from penstock_testkit.dashboards.expressions import age, highest, quantile, rate

HERE = 'partition="approval"'
HOURS_4_S = 14_400

APPROVALS = Dashboard(
    "penstock-approvals",
    "Penstock: approvals",
    "Who waits for whom, for how long, and what people decide.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Waiting",
                    "Approvals that people have not settled.",
                    [Query(highest(m.APPROVALS_WAITING))],
                    stat=True,
                    width=6,
                ),
                Panel(
                    "Longest wait",
                    "Of those; an expiry denies.",
                    [Query(age(m.APPROVAL_OLDEST))],
                    "s",
                    stat=True,
                    width=6,
                    alarm=HOURS_4_S,
                ),
                Panel(
                    "Partition owned",
                    "1: an approval service takes votes.",
                    [Query(highest(m.OWNED, where=HERE))],
                    stat=True,
                    width=6,
                ),
                Panel(
                    "Expired in a day",
                    "Nobody decided in time, and that denied them.",
                    [
                        Query(
                            f'sum(increase({m.APPROVALS_SETTLED.name}{{outcome="expired"}}[1d]))'
                            " or vector(0)"
                        )
                    ],
                    stat=True,
                    width=6,
                    alarm=1,
                ),
            ),
        ),
        Row(
            "Decisions",
            (
                Panel(
                    "Waiting and asked for",
                    "How the pile grows and shrinks.",
                    [
                        Query(highest(m.APPROVALS_WAITING), "waiting"),
                        Query(f"sum(increase({m.APPROVALS_REQUESTED.name}[1h]))", "asked in 1 h"),
                    ],
                    width=12,
                ),
                Panel(
                    "Settled",
                    "By outcome, per second.",
                    [Query(rate(m.APPROVALS_SETTLED, "outcome", sparse=True), "{{outcome}}")],
                    "ops",
                    width=12,
                ),
                Panel(
                    "Time to an outcome",
                    "From request to outcome.",
                    [
                        Query(quantile(share, m.APPROVAL_SECONDS), f"p{share * 100:g}")
                        for share in (0.5, 0.95)
                    ],
                    "s",
                    width=12,
                ),
                Panel(
                    "Votes",
                    "By choice, per second.",
                    [Query(rate(m.VOTES, "choice", sparse=True), "{{choice}}")],
                    "ops",
                    width=12,
                ),
            ),
        ),
        Row(
            "The service",
            (
                Panel(
                    "Messages and events",
                    "Taken from the inbox, and committed.",
                    [
                        Query(rate(m.CONSUMED, where=HERE), "messages"),
                        Query(rate(m.COMMITTED, where=HERE), "events"),
                    ],
                    "ops",
                ),
                Panel(
                    "Oldest vote or request not decided",
                    "Above some seconds people feel it.",
                    [Query(age(m.INBOX_OLDEST, where=HERE), "inbox")],
                    "s",
                    alarm=30,
                ),
                Panel(
                    "Refused",
                    "By code: late votes, wrong persons, stale copies.",
                    [Query(rate(m.REJECTED, "code", where=HERE, sparse=True), "{{code}}")],
                    "ops",
                ),
                Panel(
                    "Commit (p95)",
                    "One transaction.",
                    [Query(quantile(0.95, m.COMMIT_SECONDS, where=HERE), "commit")],
                    "s",
                ),
                Panel(
                    "Decisions on their way",
                    "Settled ones whose run has not confirmed, and open ones.",
                    [Query(highest(m.OPEN_AGGREGATES, where=HERE), "open")],
                ),
                Panel(
                    "Oldest event not relayed",
                    "What the console and runs do not see yet.",
                    [Query(age(m.RELAY_OLDEST, where=HERE), "relay")],
                    "s",
                    alarm=60,
                ),
            ),
        ),
    ),
)
