"""Executors and sandboxes: pools, their queues, their isolation; and every service's process."""

from __future__ import annotations

from penstock_runtime.telemetry import metrics as m
from penstock_testkit.dashboards.build import Dashboard, Panel, Query, Row, Variable
from penstock_testkit.dashboards.expressions import RANGE, highest, lowest, quantile, rate, total

HERE = 'pool=~"$pool"'
USED = f"{total(m.TASKS_RUNNING, 'pool', where=HERE)} / {total(m.CAPACITY, 'pool', where=HERE)}"
FREE = f"{lowest(m.DISK_FREE, 'instance', 'folder')} / {lowest(m.DISK_SIZE, 'instance', 'folder')}"
STANDS = ("instance", "adapter", "state")
NOT_CLOSED = 'state!="CLOSED"'
KEPT_IN = f"({quantile(0.95, m.ARTIFACT_KEEP_SECONDS)} > 0) or vector(0)"
SENT = rate(m.ARTIFACTS_LEFT_BYTES, "pool", where=HERE, sparse=True)
LEFT = rate(m.ARTIFACTS_LEFT, "outcome", where=HERE, sparse=True)
CPU = f"sum by (service) (rate(process_cpu_seconds_total[{RANGE}]))"
DESCRIPTORS = "max by (service) (process_open_fds / process_max_fds)"

EXECUTORS = Dashboard(
    "penstock-executors",
    "Penstock: executors and sandboxes",
    "Pools, their queues and their isolation; and the processes of all services.",
    (
        Row(
            "Pools",
            (
                Panel(
                    "Used",
                    "Share of all places that are taken.",
                    [Query(USED, "{{pool}}")],
                    "percentunit",
                    alarm=0.95,
                ),
                Panel(
                    "Places and tasks",
                    "",
                    [
                        Query(total(m.CAPACITY, "pool", where=HERE), "{{pool}} places"),
                        Query(total(m.TASKS_RUNNING, "pool", where=HERE), "{{pool}} in work"),
                    ],
                ),
                Panel(
                    "Queue",
                    "Tasks that nobody has taken, and those delivered.",
                    [
                        Query(highest(m.TASKS_QUEUED, "pool", where=HERE), "{{pool}} queued"),
                        Query(highest(m.TASKS_IN_FLIGHT, "pool", where=HERE), "{{pool}} delivered"),
                    ],
                ),
                Panel(
                    "Wait in the queue",
                    "Queued to begun.",
                    [
                        Query(
                            quantile(share, m.TASK_QUEUE_SECONDS, "pool", where=HERE),
                            f"{{{{pool}}}} p{share * 100:g}",
                        )
                        for share in (0.5, 0.95)
                    ],
                    "s",
                ),
                Panel(
                    "Tasks taken",
                    "Per second, repeated deliveries included.",
                    [Query(rate(m.TASKS_TAKEN, "pool", where=HERE), "{{pool}}")],
                    "ops",
                ),
                Panel(
                    "Tasks ended",
                    "By outcome.",
                    [Query(rate(m.TASKS_ENDED, "outcome", where=HERE), "{{outcome}}")],
                    "ops",
                ),
                Panel(
                    "Given back",
                    "By reason.",
                    [
                        Query(
                            rate(m.TASKS_GIVEN_BACK, "reason", where=HERE, sparse=True),
                            "{{reason}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Unreadable tasks",
                    "Moved to DEAD.",
                    [Query(rate(m.TASKS_DEAD, "pool", where=HERE, sparse=True), "{{pool}}")],
                    "ops",
                ),
                Panel(
                    "Claims",
                    "Of tasks that must not run twice, by answer.",
                    [Query(rate(m.CLAIMS, "answer", sparse=True), "{{answer}}")],
                    "ops",
                ),
            ),
        ),
        Row(
            "Sandboxes",
            (
                Panel(
                    "Available",
                    "0: nothing runs there, tasks wait in their queue.",
                    [
                        Query(
                            lowest(m.SANDBOX_AVAILABLE, "instance", "adapter"),
                            "{{instance}} {{adapter}}",
                        )
                    ],
                ),
                Panel(
                    "Degraded",
                    "1: some isolation is missing; `penstock doctor` names it.",
                    [
                        Query(
                            highest(m.SANDBOX_DEGRADED, "instance", "adapter"),
                            "{{instance}} {{adapter}}",
                        )
                    ],
                    alarm=1,
                ),
                Panel(
                    "Circuit breaker",
                    "1: it is open, or half open for one probe; tasks wait in their queue.",
                    [
                        Query(
                            f"{total(m.BREAKER_STATE, *STANDS, where=NOT_CLOSED)} or vector(0)",
                            "{{instance}} {{adapter}} {{state}}",
                        )
                    ],
                    alarm=1,
                ),
                Panel(
                    "Failures of sandboxes",
                    "By kind, per second; and how often they opened a breaker.",
                    [
                        Query(
                            rate(m.SANDBOX_FAILURES, "adapter", "kind", sparse=True),
                            "{{adapter}} {{kind}}",
                        ),
                        Query(rate(m.BREAKER_OPENED, "adapter", sparse=True), "{{adapter}} opened"),
                    ],
                    "ops",
                ),
                Panel(
                    "Time in the sandbox",
                    "By pool.",
                    [
                        Query(
                            quantile(share, m.TASK_SECONDS, "pool", where=HERE),
                            f"{{{{pool}}}} p{share * 100:g}",
                        )
                        for share in (0.5, 0.95)
                    ],
                    "s",
                ),
                Panel(
                    "Lines that agents print",
                    "And those dropped at a bound.",
                    [
                        Query(rate(m.LOG_LINES, "pool", where=HERE, sparse=True), "{{pool}}"),
                        Query(
                            rate(m.LOG_LINES_DROPPED, "pool", where=HERE, sparse=True),
                            "{{pool}} dropped",
                        ),
                    ],
                    "ops",
                ),
                Panel(
                    "Free disk",
                    "Share of the file system that sandboxes work on.",
                    [Query(FREE, "{{instance}} {{folder}}")],
                    "percentunit",
                ),
                Panel(
                    "Reports published",
                    "Results, claims and log lines, by outcome.",
                    [Query(rate(m.PUBLISHED, "stream", "outcome"), "{{stream}} {{outcome}}")],
                    "ops",
                ),
            ),
        ),
        Row(
            "Artifacts",
            (
                Panel(
                    "Left by tasks",
                    "By outcome.",
                    [
                        Query(
                            rate(m.ARTIFACTS_LEFT, "outcome", where=HERE, sparse=True),
                            "{{outcome}}",
                        )
                    ],
                    "ops",
                ),
                Panel(
                    "Bytes",
                    "Sent to the object store, and made durable.",
                    [
                        Query(
                            rate(m.ARTIFACTS_LEFT_BYTES, "pool", where=HERE, sparse=True), "sent"
                        ),
                        Query(rate(m.ARTIFACTS_KEPT_BYTES, sparse=True), "durable"),
                    ],
                    "Bps",
                ),
                Panel(
                    "Kept",
                    "What became of artifacts of results; a lost one lets its task run again.",
                    [Query(rate(m.ARTIFACTS_KEPT, "outcome", sparse=True), "{{outcome}}")],
                    "ops",
                ),
                Panel(
                    "Time to be durable (p95)",
                    "All artifacts of one result.",
                    [Query(KEPT_IN, "p95")],
                    "s",
                ),
                Panel(
                    "Given and brought back",
                    "What tasks were given, what had to be put back, and what was pruned.",
                    [
                        Query(
                            rate(m.ARTIFACTS_FETCHED, "outcome", where=HERE, sparse=True),
                            "given: {{outcome}}",
                        ),
                        Query(
                            rate(m.ARTIFACTS_BROUGHT_BACK, "outcome", sparse=True),
                            "back: {{outcome}}",
                        ),
                        Query(rate(m.ARTIFACTS_PRUNED, sparse=True), "pruned"),
                    ],
                    "ops",
                ),
                Panel(
                    "Waiting for the copier",
                    "Questions about artifacts that wait or are in work.",
                    [Query(highest(m.ARTIFACT_QUEUE, "instance"), "{{instance}}")],
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "Ready",
                    "1: the service does its work.",
                    [Query(lowest(m.UP, "service"), "{{service}}")],
                ),
                Panel("Processor", "Cores in use.", [Query(CPU, "{{service}}")]),
                Panel(
                    "Memory",
                    "Resident.",
                    [Query("sum by (service) (process_resident_memory_bytes)", "{{service}}")],
                    "bytes",
                ),
                Panel(
                    "Event loop lag (p99)",
                    "How late the loop wakes; tasks and leases feel it.",
                    [Query(quantile(0.99, m.LOOP_LAG, "service"), "{{service}}")],
                    "s",
                    alarm=0.5,
                ),
                Panel(
                    "Descriptors",
                    "Share of the process' limit.",
                    [Query(DESCRIPTORS, "{{service}}")],
                    "percentunit",
                    alarm=0.8,
                ),
                Panel(
                    "Acknowledgements missed",
                    "And gauges that could not be read.",
                    [
                        Query(rate(m.ACK_FAILURES, "stream", sparse=True), "{{stream}}"),
                        Query(rate(m.SAMPLE_FAILURES, "kind", sparse=True), "sample: {{kind}}"),
                    ],
                    "ops",
                ),
                Panel(
                    "Spans and log records dropped",
                    "No collector took them; the work goes on without.",
                    [
                        Query(
                            rate(m.TELEMETRY_DROPPED, "service", "signal", sparse=True),
                            "{{service}} {{signal}}",
                        )
                    ],
                    "ops",
                ),
            ),
        ),
    ),
    (Variable("pool", m.CAPACITY.name),),
)
