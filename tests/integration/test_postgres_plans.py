"""Each read walks the index made for it, however the rows are spread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from penstock_adapters.postgres.migrate import Schema, migrate
from penstock_adapters.postgres.statements import load_statements
from penstock_testkit.servers import RealPostgres

pytestmark = pytest.mark.real

Explain = Callable[[str], str]

# One crowded partition, one that ended long ago, and eight that take turns.
EVENTS = """
INSERT INTO stored_events
    (originator_id, originator_version, n, partition, topic, state)
VALUES (gen_random_uuid(), 1, 1, 'old', 't', 'x');
INSERT INTO stored_events (originator_id, originator_version, n, partition, topic, state)
SELECT gen_random_uuid(), 1, i, 'run-0', 't', 'x' FROM generate_series(1, 20000) AS i;
INSERT INTO stored_events (originator_id, originator_version, n, partition, topic, state)
SELECT gen_random_uuid(), 1, (i - 1) / 8 + 1, 'run-' || (1 + i % 8), 't', 'x'
FROM generate_series(1, 8000) AS i ORDER BY i;
ANALYZE stored_events;
"""
VIEWS = """
INSERT INTO views (tenant, kind, id, parent, sort_key, state, group_name, body)
SELECT 'default', 'run', 'r' || i, '', i, CASE WHEN i % 5000 = 0 THEN 'failed' ELSE 'done' END,
    CASE WHEN i < 9 THEN 'rare' ELSE 'deploy' END, '{}'
FROM generate_series(1, 20000) AS i;
INSERT INTO views (tenant, kind, id, parent, sort_key, state, group_name, body)
SELECT 'default', 'node', 'n' || i, 'r' || i / 5, i, '', '', '{}'
FROM generate_series(1, 20000) AS i;
ANALYZE views;
"""
PARAMS = {
    "partition": "old",
    "n": 0,
    "limit": 50,
    "topics": ["t"],
    "position": 0,
    "ids": ["6f1f7a3e-0000-4000-8000-000000000001"],
    "tenant": "default",
    "kind": "run",
    "parent": "r7",
    "state": "failed",
    "group": "rare",
    "before_key": 2**63 - 1,
    "before_id": "",
    "prefix": "r12",
    "prefix_end": "r13",
}


COMMIT: dict[str, object] = {
    "partition": "run-0",
    "epoch": 1,
    "commit_number": 1,
    "n": 0,
    "before": 0,
    "chain_head": b"",
    "positions": "{}",
    "ids": list[UUID](),
    "versions": list[int](),
    "topics": list[str](),
    "states": list[bytes](),
    "opened": list[UUID](),
    "due_us": list[int](),
    "closed": [uuid4() for _ in range(10)],
    "lease_s": 1.0,
}
OPEN = """
INSERT INTO open_aggregates (partition, aggregate_id, due_us)
SELECT 'run-0', gen_random_uuid(), i FROM generate_series(1, 20000) AS i;
ANALYZE open_aggregates;
"""


def explaining(url: str, file_name: str) -> Iterator[Explain]:
    statements = load_statements(file_name)
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:

        def explain(name: str) -> str:
            text = b"EXPLAIN " + statements[name].replace(b")b", b")s")
            return "\n".join(line for (line,) in connection.execute(text, PARAMS))

        yield explain


@pytest.fixture(scope="module")
def explain_events(postgres: RealPostgres) -> Iterator[Explain]:
    urls = postgres.fresh_database()
    migrate(urls.owner, "penstock_scheduler_service", "auditor")
    with psycopg.connect(urls.owner) as connection:
        connection.execute(EVENTS.encode())
    yield from explaining(urls.service, "events.sql")


@pytest.fixture(scope="module")
def explain_views(postgres: RealPostgres) -> Iterator[Explain]:
    urls = postgres.fresh_database("penstock_gateway")
    migrate(urls.owner, "penstock_gateway_service", "auditor", Schema.PROJECTION)
    with psycopg.connect(urls.owner) as connection:
        connection.execute(VIEWS.encode())
    yield from explaining(urls.service, "views.sql")


@pytest.mark.parametrize("name", ["after", "of_topics", "behind_position"])
def test_partitions_are_read_by_their_index(explain_events: Explain, name: str) -> None:
    plan = explain_events(name)
    assert "stored_events_partition_idx" in plan
    assert "Sort" not in plan


def test_aggregates_are_read_by_their_key(explain_events: Explain) -> None:
    assert "stored_events_pkey" in explain_events("load")


def test_finding_n_touches_few_pages(postgres: RealPostgres) -> None:
    urls = postgres.fresh_database()
    migrate(urls.owner, "penstock_scheduler_service", "auditor")
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute(EVENTS.encode())
        connection.execute("SELECT position_behind('old', 0)")  # fills the session's caches
        for partition, n in (
            ("old", 0),
            ("old", 1),
            ("absent", 0),
            ("run-0", 9_999),
            ("run-3", 500),
        ):
            lines = connection.execute(
                "EXPLAIN (ANALYZE, BUFFERS) SELECT position_behind(%s, %s)", (partition, n)
            ).fetchall()
            (buffers,) = (line for (line,) in lines if "shared hit=" in line and "->" not in line)
            assert int(buffers.split("shared hit=")[1].split()[0]) < 200, (partition, n)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("page", "views_page_idx"),
        ("page_by_state", "views_state_idx"),
        ("waiting", "views_state_idx"),
        ("page_by_group", "views_group_idx"),
        ("page_by_state_and_group", "views_group_idx"),
        ("children", "views_parent_idx"),
        ("find_prefix", "views_pkey"),
        ("get", "views_pkey"),
    ],
)
def test_lists_are_read_by_their_index(explain_views: Explain, name: str, index: str) -> None:
    plan = explain_views(name)
    assert f"using {index}" in plan
    assert "Sort" not in plan
    if name != "page_by_state_and_group":
        assert "Filter" not in plan


@pytest.mark.parametrize(("open_ones", "how"), [("", "Hash"), (OPEN, "using open_aggregates_pkey")])
def test_what_is_closed_is_not_compared_with_each_that_is_open(
    postgres: RealPostgres, open_ones: str, how: str
) -> None:
    """As it was: each open run against each closed one, and the list cast for each of them."""
    urls = postgres.fresh_database()
    migrate(urls.owner, "penstock_scheduler_service", "auditor")
    with psycopg.connect(urls.owner) as connection:
        connection.execute(open_ones.encode())
    statement = load_statements("events.sql")["commit"].replace(b")b", b")s")
    with psycopg.connect(urls.service, cursor_factory=psycopg.ClientCursor) as connection:
        lines = connection.execute(b"EXPLAIN " + statement, COMMIT).fetchall()
    plan = "\n".join(line for (line,) in lines)
    closing = plan.partition("CTE closed")[2].partition("\n  InitPlan")[0]
    assert how in closing
    assert "ANY (" not in closing
