"""How fast one writer commits: `python load-tests/micro/ledger.py [commits]`.

Starts a PostgreSQL of its own, with fsync, and prints for several batch sizes the commit's
median and 99th percentile and the events per second; then the bytes that an event costs.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.ports import PortBook
from penstock_adapters.embedded.postgres_server import PostgresServer
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.migrate import migrate
from penstock_contracts.ids import derive
from penstock_contracts.records import EventMeta, NewRecord, chain_hash, encode_state
from penstock_runtime.ports.ledger import Commit, PartitionRow, Witness
from penstock_testkit.servers import RealPostgres

BATCHES = (0, 1, 2, 10, 100, 1000)
DATA = {"node": "scan", "attempt": 1, "executor": "executor-1", "output": {"passed": True}}


def following(row: PartitionRow, size: int) -> tuple[Commit, PartitionRow]:
    """Make the next commit of `size` events, each of an aggregate of its own."""
    head, records = row.chain_head, list[NewRecord]()
    for i in range(size):
        id_ = derive("run", str(row.n + i))
        meta = EventMeta(1_700_000_000_000_000, "default", f"run-0/{row.n}", id_, "system")
        state = encode_state(meta, head, DATA)
        records.append(NewRecord(id_, 1, "run.node_succeeded.v1", state))
        head = chain_hash(head, id_, 1, records[-1].topic, state)
    positions = {"RUNS": Witness(1_700_000_000_000_000, row.commit_number, 1_700_000_000_000_000)}
    commit = Commit(
        row.partition,
        row.epoch,
        row.commit_number,
        row.n + size,
        head,
        records,
        positions,
        opened={record.aggregate_id: 1_700_000_000_000_000 for record in records},
        closed=[derive("run", str(row.n - i)) for i in range(1, size + 1)],
    )
    after = PartitionRow(
        row.partition, row.owner, row.epoch, row.commit_number + 1, row.n + size, head, positions
    )
    return commit, after


async def measure(
    ledger: PostgresLedger, row: PartitionRow, size: int, rounds: int
) -> PartitionRow:
    """Commit `rounds` batches one after the other and print a line."""
    commits = list[Commit]()
    for _ in range(rounds):
        commit, row = following(row, size)
        commits.append(commit)
    taken, cpu = list[float](), time.process_time()
    for commit in commits:
        start = time.perf_counter()
        await ledger.commit(commit)
        taken.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    p50, p99 = statistics.median(taken) * 1000, sorted(taken)[int(len(taken) * 0.99)] * 1000
    rate = size * rounds / sum(taken)
    print(
        f"{size:>5} events/commit  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  {rate:9.0f} events/s"
        f"  client {cpu / rounds * 1e6:7.0f} us/commit"
    )
    return row


async def run(url: str, rounds: int) -> None:
    """Measure all batch sizes, then reading."""
    async with PostgresLedger(url) as ledger:
        row = await ledger.acquire("run-0", "bench", 600.0)
        assert row is not None
        row = await measure(ledger, row, 10, 30)  # warm up
        for size in BATCHES:
            row = await measure(ledger, row, size, max(20, rounds // max(1, size // 10)))
        start, n = time.perf_counter(), 0
        while page := await ledger.after("run-0", n, 1000):
            n = page[-1].n
        print(f"read {n} events: {n / (time.perf_counter() - start):.0f} events/s")


def print_size(url: str) -> None:
    """Print what an event costs on disk, indexes included."""
    with psycopg.connect(url) as connection:
        query = (
            "SELECT count(*), pg_table_size('stored_events'), pg_indexes_size('stored_events'),"
            " avg(length(state)) FROM stored_events"
        )
        found = connection.execute(query).fetchone()
        assert found is not None
        count, table, indexes, state = found
        print(
            f"{(table + indexes) / count:.0f} bytes/event: table {table / count:.0f}, "
            f"indexes {indexes / count:.0f} (state alone {state:.0f})"
        )


def main() -> None:
    """Run against a server of our own."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as root:
        folder = StateFolder.at(Path(root) / "state")
        folder.create()
        secrets = SecretBook(folder.credentials / "secrets.json")
        port = PortBook(folder.run / "ports.json").assign(("postgres",))["postgres"]
        postgres = RealPostgres(PostgresServer(folder, secrets, port, durable=True), secrets)
        postgres.start()
        try:
            postgres.create_roles()
            urls = postgres.urls()
            migrate(urls.owner, "penstock_scheduler_service", "auditor")
            asyncio.run(run(urls.service, rounds))
            print_size(urls.auditor)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
