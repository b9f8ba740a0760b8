"""Delivery and store: partitions, their inboxes, commits and relays, streams and databases."""

from __future__ import annotations

from penstock_runtime.telemetry import metrics as m
from penstock_testkit.dashboards.build import Dashboard, Panel, Query, Row, Variable
from penstock_testkit.dashboards.expressions import age, highest, lowest, quantile, rate, total

HERE = 'partition=~"$partition"'
EACH = "{{partition}}"
UNRELAYED = (
    f"clamp_min({highest(m.EVENT_NUMBER, 'partition', where=HERE)}"
    f" - {highest(m.RELAYED_NUMBER, 'partition', where=HERE)}, 0)"
)
UNPROJECTED = (
    f"clamp_min({highest(m.EVENT_NUMBER, 'partition', where=HERE)}"
    f" - {lowest(m.PROJECTED_NUMBER, 'partition', where=HERE)}, 0)"
)
FILLED = f"{highest(m.STREAM_BYTES, 'stream')} / ({highest(m.STREAM_LIMIT, 'stream')} > 0)"
BUSY = (
    f"{highest(m.STORE_CALLS, 'service', 'pool')}"
    f" / {highest(m.STORE_CONNECTIONS, 'service', 'pool')}"
)


def _times(metric: m.Metric) -> list[Query]:
    return [
        Query(quantile(share, metric, "partition", where=HERE), f"{EACH} p{share * 100:g}")
        for share in (0.5, 0.99)
    ]


DELIVERY = Dashboard(
    "penstock-delivery",
    "Penstock: delivery and store",
    "Partitions from inbox to EVENTS, and what they stand on.",
    (
        Row(
            "Partitions",
            (
                Panel(
                    "Owners",
                    "Exactly 1 each; 0: nobody decides there, 2: one is about to go.",
                    [Query(total(m.OWNED, "partition", where=HERE), EACH)],
                    alarm=2,
                ),
                Panel(
                    "Epochs ended by a fault",
                    "By fault; the owner begins again by itself.",
                    [
                        Query(
                            rate(m.EPOCHS_ENDED, "partition", "fault", sparse=True),
                            f"{EACH} {{{{fault}}}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Leases lost",
                    "Another owner took over.",
                    [Query(rate(m.FENCED, "partition", sparse=True), EACH)],
                    "ops",
                ),
                Panel(
                    "Messages parked",
                    "By code: somebody has to look (`penstock dead list`).",
                    [
                        Query(
                            rate(m.PARKED, "partition", "code", sparse=True), f"{EACH} {{{{code}}}}"
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Waiting for something",
                    "Open aggregates: runs, approvals, triggers.",
                    [Query(highest(m.OPEN_AGGREGATES, "partition", where=HERE), EACH)],
                ),
                Panel(
                    "Streams found to be others",
                    "Once each at the first start; later: restored.",
                    [Query(rate(m.INCARNATIONS, "stream", sparse=True), "{{stream}}")],
                    "ops",
                ),
            ),
        ),
        Row(
            "Inbox",
            (
                Panel(
                    "Messages taken",
                    "Per second.",
                    [Query(rate(m.CONSUMED, "partition", where=HERE), EACH)],
                    "ops",
                ),
                Panel(
                    "Lag in messages",
                    "Behind the last one decided.",
                    [Query(highest(m.INBOX_LAG, "partition", where=HERE), EACH)],
                    alarm=10_000,
                ),
                Panel(
                    "Lag in seconds",
                    "Age of the oldest undecided message.",
                    [Query(age(m.INBOX_OLDEST, "partition", where=HERE), EACH)],
                    "s",
                    alarm=30,
                ),
                Panel("Messages in a batch", "It grows with the load.", _times(m.BATCH_MESSAGES)),
                Panel("Deciding a batch", "Pure computation.", _times(m.DECIDE_SECONDS), "s"),
                Panel(
                    "Effects published",
                    "By kind: tasks, commands, requests.",
                    [Query(rate(m.EFFECTS, "kind", where=HERE, sparse=True), "{{kind}}")],
                    "ops",
                ),
            ),
        ),
        Row(
            "Commit",
            (
                Panel(
                    "Events committed",
                    "Per second.",
                    [Query(rate(m.COMMITTED, "partition", where=HERE), EACH)],
                    "ops",
                ),
                Panel("Events in a commit", "One transaction each.", _times(m.COMMIT_EVENTS)),
                Panel("Commit latency", "One transaction.", _times(m.COMMIT_SECONDS), "s", alarm=1),
            ),
        ),
        Row(
            "Relay and read model",
            (
                Panel(
                    "Events not relayed",
                    "Committed, and not in EVENTS yet.",
                    [Query(UNRELAYED, EACH)],
                ),
                Panel(
                    "Age of the oldest of them",
                    "What nobody outside sees yet.",
                    [Query(age(m.RELAY_OLDEST, "partition", where=HERE), EACH)],
                    "s",
                    alarm=60,
                ),
                Panel("Relaying a unit", "Up to 999 events.", _times(m.RELAY_SECONDS), "s"),
                Panel(
                    "Events not in the read model",
                    "Committed, and not shown by the gateway.",
                    [Query(UNPROJECTED, EACH)],
                ),
                Panel(
                    "Missing in EVENTS",
                    "Age of the oldest marker that the gateway cannot reach.",
                    [
                        Query(
                            f"{highest(m.PROJECTION_LAG, 'partition', where=HERE)} or vector(0)",
                            EACH,
                        )
                    ],
                    "s",
                    alarm=60,
                ),
            ),
        ),
        Row(
            "Streams, databases, connections",
            (
                Panel(
                    "Streams filled",
                    "Share of their bound; full ones refuse work.",
                    [Query(FILLED, "{{stream}}")],
                    "percentunit",
                    alarm=0.8,
                ),
                Panel(
                    "Messages in streams",
                    "",
                    [Query(highest(m.STREAM_MESSAGES, "stream"), "{{stream}}")],
                ),
                Panel(
                    "Bytes in streams",
                    "",
                    [Query(highest(m.STREAM_BYTES, "stream"), "{{stream}}")],
                    "bytes",
                ),
                Panel(
                    "Databases",
                    "Size on disk.",
                    [Query(highest(m.DATABASE_BYTES, "service"), "{{service}}")],
                    "bytes",
                ),
                Panel(
                    "Calls for each connection",
                    "Above 1 they wait for one another.",
                    [Query(BUSY, "{{service}} {{pool}}")],
                    alarm=10,
                ),
                Panel(
                    "NATS connections",
                    "1: it stands.",
                    [Query(lowest(m.NATS_CONNECTED, "service"), "{{service}}")],
                ),
                Panel(
                    "Errors of the NATS client",
                    "By kind.",
                    [
                        Query(
                            rate(m.NATS_ERRORS, "service", "kind", sparse=True),
                            "{{service}} {{kind}}",
                        )
                    ],
                    "ops",
                ),
            ),
        ),
    ),
    (Variable("partition", m.OWNED.name),),
)
