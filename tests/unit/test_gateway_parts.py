"""The gateway's small parts: problems, Alertmanager, cursors, waiters, changes, frames."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from penstock_adapters.memory.projection import MemoryProjection
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.records import (
    EventMeta,
    ReadEvent,
    StoredRecord,
    encode_state,
    published_form,
)
from penstock_contracts.run.v1 import NodeSkipped, RunCancelled
from penstock_contracts.trigger.v1 import IssueToken
from penstock_contracts.values import SYSTEM_TENANT, Wire
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Published
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.projection import ProjectionCommit, ViewRow
from penstock_testkit.fakes.bus import KeptPublisher
from penstock_testkit.fakes.clock import ManualClock
from penstock_webhook_gateway.bootstrap import (
    LOOK_S,
    LOOKS_A_QUESTION,
    admit,
    issue_admin_token,
    read_token,
)
from penstock_webhook_gateway.catalog_views import dead_id
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.http import live, paging
from penstock_webhook_gateway.http.access import token_hash
from penstock_webhook_gateway.http.alertmanager import UNSET_TIME, AlertGroup, triggers_of
from penstock_webhook_gateway.http.problems import STATUS_OF, Problem, refused, response
from penstock_webhook_gateway.waiting import WAITERS_MAX, TooManyWaiters, Waiters

# --- problems -----------------------------------------------------------------------------------


def test_a_problem_has_the_shape_of_rfc_9457():
    answer = response(
        Problem(422, "malformed", "inputs: a number", problems=[{"pointer": "/a"}],
                headers={"Retry-After": "3"}),
        "/api/x",
    )  # fmt: skip
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert answer.headers["Retry-After"] == "3"
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "type": "urn:penstock:problem:malformed",
        "title": "The request was understood but cannot be accepted",
        "status": 422,
        "code": "malformed",
        "detail": "inputs: a number",
        "instance": "/api/x",
        "problems": [{"pointer": "/a"}],
    }


def test_a_refusal_keeps_its_code_whatever_its_status():
    assert refused(Code.ALREADY_ENDED, "x").status == 409
    assert refused("a_code_of_the_future", "x").status == 400
    assert refused("a_code_of_the_future", "x").code == "a_code_of_the_future"
    assert set(STATUS_OF) <= set(Code)


# --- Alertmanager -------------------------------------------------------------------------------

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "DiskFull"},
    "annotations": {},
    "startsAt": "2026-11-21T10:00:00Z",
    "endsAt": UNSET_TIME,
    "generatorURL": "",
    "fingerprint": "c0ffee",
}
GROUP: dict[str, Any] = {"version": "4", "groupKey": "k", "status": "firing", "alerts": [ALERT]}


def keys(**change: Any) -> str:
    group = AlertGroup.model_validate({**GROUP, "alerts": [{**ALERT, **change}]})
    ((_, key, _),) = triggers_of(group)
    return key


def test_an_alert_sent_again_has_the_same_id_and_another_alert_another():
    assert keys() == keys(annotations={"seen": "again"}) == keys(endsAt="2026-11-21T11:00:00Z")
    other = {
        keys(status="resolved"),
        keys(fingerprint="beef"),
        keys(startsAt="2026-11-21T10:05:00Z"),
        keys(),
    }
    assert len(other) == 4


def test_what_the_trigger_holds():
    group = AlertGroup.model_validate({**GROUP, "receiver": "r", "newField": 1})
    ((path, _, data),) = triggers_of(group)
    assert path == "alertmanager.firing.DiskFull"
    assert data == {
        "status": "firing",
        "labels": {"alertname": "DiskFull"},
        "annotations": {},
        "starts_at": "2026-11-21T10:00:00Z",
        "ends_at": "",
        "generator_url": "",
        "fingerprint": "c0ffee",
        "group": {"receiver": "r", "group_key": "k", "group_labels": {}, "external_url": ""},
    }


@pytest.mark.parametrize(
    ("name", "token"),
    [("a.b c*>", "a_b_c_"), ("", "unnamed"), ("...", "_"), ("é", "_"), ("x" * 300, "x" * 100)],
)
def test_a_name_becomes_one_token(name: str, token: str):
    alert = {**ALERT, "labels": {"alertname": name}}
    ((path, _, _),) = triggers_of(AlertGroup.model_validate({**GROUP, "alerts": [alert]}))
    assert path == f"alertmanager.firing.{token}"


@pytest.mark.parametrize("missing", ["version", "groupKey", "status", "alerts"])
def test_a_group_needs_its_parts(missing: str):
    with pytest.raises(ValidationError):
        AlertGroup.model_validate({key: value for key, value in GROUP.items() if key != missing})


# --- cursors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["%%%", "eA==", "LTEgYQ==", "MQ", "\udc80", "MSAA"])
def test_a_cursor_that_no_page_gave_is_refused(text: str):
    with pytest.raises(Problem, match="give `next` of the page before"):
        paging._cursor(text)


def test_a_cursor_is_read_back():
    assert paging._cursor("") is None
    assert paging._cursor("NyByIDE=") == (7, "r 1")


@pytest.mark.parametrize("text", ["", "0", "501", "-1", "1e3", "\u0664", "9" * 5000])
def test_a_limit_is_a_number_in_its_bounds(text: str):
    with pytest.raises(Problem, match="limit: a number from 1 to 500"):
        paging._limit(text)


# --- waiters ------------------------------------------------------------------------------------


def told(cause: str, body: Wire | None = None) -> tuple[ReadEvent, Wire]:
    event = ReadEvent("run-0", 1, "r", 1, "t", EventMeta(0, causation_id=cause), "", {})
    return event, body or RunCancelled(by="x", ended_us=1)


async def test_the_first_event_of_a_cause_is_the_outcome():
    waiters = Waiters()
    with waiters.expect("a") as one, waiters.expect("a") as two, waiters.expect("b") as other:
        first = told("a")
        waiters.applied([told("z"), first, told("a")])
        assert (await one)[0] is first[0]
        assert (await two)[0] is first[0]
        assert not other.done()
    assert other.cancelled()
    assert waiters._waiting == {}


async def test_what_came_before_is_not_told():
    waiters = Waiters()
    with waiters.expect("a"):
        waiters.applied([told("a")])
    with waiters.expect("a") as again:
        assert not again.done()
        later = told("a")
        waiters.applied([later])
        assert (await again)[0] is later[0]


async def test_waiting_requests_are_bounded():
    waiters = Waiters()
    waiters._count = WAITERS_MAX
    with pytest.raises(TooManyWaiters), waiters.expect("a"):
        pass


async def test_a_cancelled_request_leaves_nothing_behind():
    waiters = Waiters()

    async def request() -> None:
        with waiters.expect("a") as future:
            await future

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (waiters._waiting, waiters._count) == ({}, 0)


# --- changes ------------------------------------------------------------------------------------


async def reader_of(*rows: ViewRow) -> MemoryProjection:
    store = MemoryProjection(ManualClock())
    row = await store.acquire("p", "o", 10)
    assert row is not None
    await store.commit(ProjectionCommit("p", row.epoch, row.commit_number, upserts=rows))
    return store


async def test_a_batch_sees_its_own_rows():
    stored = [ViewRow("node", "t", f"r/{name}", "r", place) for place, name in enumerate("ab")]
    changes = Changes(await reader_of(*stored))
    changes.drop("node", "t", "r/a")
    changes.put(ViewRow("node", "t", "r/0", "r", -1))
    changes.put(ViewRow("node", "other", "r/x", "r", 0))
    changes.put(ViewRow("node", "t", "s/x", "s", 0))
    assert [row.id for row in await changes.children("node", "t", "r")] == ["r/0", "r/b"]
    assert await changes.get("node", "t", "r/a") is None
    assert changes.deletes == [("node", "t", "r/a")]
    assert len(changes.upserts) == 3


async def test_amending_keeps_the_rest_and_moves_the_state():
    row = ViewRow("approval", "t", "a", "r", 5, "pending", "w", {"status": "pending", "x": 1})
    changes = Changes(await reader_of(row))
    await changes.amend("approval", "t", "a", status="approved", by=["ada"])
    await changes.amend("approval", "t", "nobody", status="approved")
    (after,) = changes.upserts
    assert after == ViewRow(
        "approval", "t", "a", "r", 5, "approved", "w",
        {"status": "approved", "x": 1, "by": ["ada"]},
    )  # fmt: skip


def test_a_parked_message_is_named_by_its_place():
    assert dead_id("0183de71-50bd", "RUNS", 7) == "0183de71-runs-7"


# --- frames -------------------------------------------------------------------------------------


def message(version: int, event: Wire, name: str) -> Received:
    state = encode_state(EventMeta(1, causation_id="c"), b"\x00" * 32, event.to_data())
    record = StoredRecord("r", version, f"run.{name}.v1", state, "run-0", version, 0)
    return Received("EVENTS", "s", version, 0, published_form(record))


SKIPPED = NodeSkipped.model_validate({"node": "a\nb", "reason": "upstream"})
ENDED = RunCancelled(by="x", ended_us=1)


def test_a_frame_is_one_event_on_one_line():
    frames = live._EventFeed("r", 4).frames(message(5, SKIPPED, "node_skipped"))
    assert frames is not None
    head, data = frames.decode().removesuffix("\n\n").rsplit("\n", 1)
    assert head == "id: 5\nevent: node_skipped"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "run.node_skipped.v1",
        "version": 5,
        "partition": "run-0",
        "n": 5,
        "time": "1970-01-01T00:00:00.000001Z",
        "causationid": "c",
        "actor": "",
        "traceparent": None,
        "data": {"node": "a\nb", "reason": "upstream"},
    }


def test_a_feed_goes_on_by_one():
    feed = live._EventFeed("r", 0)
    assert feed.frames(message(2, SKIPPED, "node_skipped")) == b""
    assert feed.frames(message(1, SKIPPED, "node_skipped"))
    assert feed.frames(message(1, SKIPPED, "node_skipped")) == b""
    ended = feed.frames(message(2, ENDED, "run_cancelled"))
    assert ended is not None
    assert ended.endswith(live.END)
    assert feed.frames(message(2, ENDED, "run_cancelled")) == live.END


def test_what_is_not_of_its_run_says_nothing_in_a_feed():
    assert live._EventFeed("another", 0).frames(message(1, SKIPPED, "node_skipped")) is None
    assert live._EventFeed("r", 0).frames(Received("EVENTS", "s", 1, 0, b"junk")) is None


# --- the first token ----------------------------------------------------------------------------


async def test_the_first_token_is_issued_by_its_hash_until_the_bus_has_it():
    publisher, clock = KeptPublisher(), ManualClock()
    publisher.outcomes.append(Published.FAILED)
    issuing = asyncio.create_task(issue_admin_token("s3cret", "default", publisher, clock))
    for _ in range(3):
        await clock.advance(1)
    await issuing
    (sent,) = publisher.sent
    envelope = Envelope.decode(sent.payload)
    assert IssueToken.model_validate(envelope.data) == IssueToken(
        name="admin", sha256=token_hash("s3cret"), roles=("admin",)
    )
    assert b"s3cret" not in sent.payload


async def test_a_token_is_asked_for_until_the_read_model_shows_it():
    clock, store, publisher = ManualClock(), await reader_of(), KeptPublisher()
    letting_in = asyncio.create_task(admit("s3cret", "default", publisher, store, clock))
    await clock.advance(LOOK_S)
    assert len(publisher.sent) == 1
    await clock.advance(LOOK_S * LOOKS_A_QUESTION)  # the stream has lost the question
    assert len(publisher.sent) == 2
    row = await store.acquire("p", "o", 10)
    assert row is not None
    known = ViewRow("token", SYSTEM_TENANT, token_hash("s3cret"))
    await store.commit(ProjectionCommit("p", row.epoch, row.commit_number, upserts=[known]))
    await clock.advance(LOOK_S)
    async with asyncio.timeout(5):
        await letting_in
        await admit("s3cret", "default", publisher, store, clock)  # known: nothing to ask
    assert len(publisher.sent) == 2


class Unreachable(MemoryProjection):
    """Does not answer the first look."""

    looks = 0

    async def get(self, kind: str, tenant: str, id: str) -> ViewRow | None:  # noqa: A002 - the port's
        self.looks += 1
        if self.looks == 1:
            raise TransientFault("the store does not answer")
        return ViewRow(kind, tenant, id)


async def test_a_store_that_does_not_answer_is_asked_again():
    clock, store = ManualClock(), Unreachable(ManualClock())
    letting_in = asyncio.create_task(admit("s", "default", KeptPublisher(), store, clock))
    await clock.advance(LOOK_S)
    async with asyncio.timeout(5):
        await letting_in
    assert store.looks == 2


@pytest.mark.parametrize(("mode", "said"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_token_s_file_is_best_read_by_its_owner_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, said: bool
):
    file = tmp_path / "admin.token"
    file.write_text("s3cret\n")
    os.chmod(file, mode)  # noqa: PTH101 - the mode itself is under test
    assert read_token(file) == "s3cret"
    assert ("others may read" in caplog.text) is said
    assert "s3cret" not in caplog.text
