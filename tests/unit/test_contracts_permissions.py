"""Who may say what on the bus, as laws over the one table."""

from __future__ import annotations

import pytest

from penstock_contracts import subjects
from penstock_contracts.permissions import (
    API,
    HEARTBEAT_STREAM,
    OWNED_STREAMS,
    BusUser,
    command_token,
    inbox,
    permission_table,
)
from penstock_contracts.subjects import Stream, matches

TABLE = permission_table(tenant="acme", durable="tasks-gpu")
SERVICES = [user for user in BusUser if user is not BusUser.ADMIN]


def publishers(subject: str) -> set[BusUser]:
    return {
        user
        for user in SERVICES
        if any(matches(pattern, subject) for pattern in TABLE[user].publish)
        and not any(matches(pattern, subject) for pattern in TABLE[user].publish_deny)
    }


@pytest.mark.parametrize(
    ("subject", "who"),
    [
        (subjects.run("acme", "run-0", "r", "apply_decision"), {BusUser.APPROVAL}),
        (
            subjects.run("acme", "run-0", "r", "report_result"),
            {BusUser.SCHEDULER, BusUser.EXECUTOR},
        ),
        (subjects.approval("acme", "a", "cast_vote"), {BusUser.GATEWAY}),
        (subjects.task("acme", "gpu", "a", "k"), {BusUser.SCHEDULER}),
        (subjects.event("acme", "run", "r", "run_failed"), {BusUser.SCHEDULER}),
        (subjects.event("acme", "approval", "a", "vote_cast"), {BusUser.APPROVAL}),
        (subjects.relay_marker("run-0"), {BusUser.SCHEDULER}),
        (subjects.relay_marker("approval"), {BusUser.APPROVAL}),
        (subjects.control("acme", "k", "claim"), {BusUser.SCHEDULER}),
        (subjects.log("acme", "r", "n"), {BusUser.EXECUTOR}),
        (
            subjects.breaker_report("acme", "host.one"),
            {BusUser.SCHEDULER, BusUser.EXECUTOR, BusUser.GATEWAY},
        ),
        (
            subjects.catalog("acme", "executor", "one", "issue_token"),
            {BusUser.SCHEDULER, BusUser.GATEWAY},
        ),
        (
            subjects.catalog("acme", "token", "one", "report_breaker"),
            {BusUser.SCHEDULER, BusUser.GATEWAY},
        ),
        (f"{API}.STREAM.MSG.GET.{HEARTBEAT_STREAM}", {BusUser.SCHEDULER, BusUser.GATEWAY}),
        (subjects.trigger("acme", "ci"), {BusUser.SCHEDULER, BusUser.GATEWAY, BusUser.TRIGGER}),
        (subjects.trigger("other", "ci"), {BusUser.SCHEDULER, BusUser.GATEWAY}),
        (subjects.gateway_trigger("acme", "ci.x"), {BusUser.SCHEDULER, BusUser.GATEWAY}),
        (subjects.trigger("acme", "gateway"), {BusUser.SCHEDULER, BusUser.GATEWAY}),
        (
            subjects.trigger("acme", "gateways.x"),
            {BusUser.SCHEDULER, BusUser.GATEWAY, BusUser.TRIGGER},
        ),
    ],
)
def test_only_these_may_publish(subject: str, who: set[BusUser]):
    assert publishers(subject) == who


def test_a_stream_is_created_and_purged_by_its_owner_alone():
    owned = [stream for streams in OWNED_STREAMS.values() for stream in streams]
    assert sorted(owned) == sorted(Stream)
    for owner, streams in OWNED_STREAMS.items():
        for stream in streams:
            for verb in ("CREATE", "UPDATE", "PURGE"):
                assert publishers(f"{API}.STREAM.{verb}.{stream.value}") == {owner}
            assert publishers(f"{API}.STREAM.DELETE.{stream.value}") == set()


def test_nobody_listens_in_anothers_inbox():
    for user in SERVICES:
        mine = inbox(user).replace(">", "x")
        listeners = {
            other
            for other in SERVICES
            if any(matches(pattern, mine) for pattern in TABLE[other].subscribe)
        }
        assert listeners == {user}


def test_an_executor_pulls_from_its_own_consumer_alone():
    pull = f"{API}.CONSUMER.MSG.NEXT.{Stream.TASKS.value}"
    assert BusUser.EXECUTOR in publishers(f"{pull}.tasks-gpu")
    assert BusUser.EXECUTOR not in publishers(f"{pull}.tasks-default")


def test_a_command_s_token_is_the_middle_of_its_type():
    assert command_token("run.claim_task.v1") == "claim_task"
