"""Judging who works and what waits: executors, tasks, agents, messages, approvals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue, ValidationError

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.signing import KeyFault, open_signer
from penstock_cli.doctor.bus import BusSight
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_cli.doctor.processes import StackSight, shortened
from penstock_cli.doctor.stores import StoreSight
from penstock_contracts.approval.v1 import Policy
from penstock_contracts.permissions import HEARTBEAT_STREAM
from penstock_contracts.subjects import Stream
from penstock_contracts.values import MICROSECONDS
from penstock_core.approval.voting import allowed, is_requester
from penstock_runtime.grants import read_keys
from penstock_runtime.ports.projection import PAGE_MAX, ViewRow

SHOWN_MAX: Final = 20  # findings of one kind; how many more there are is said
TOLD_MAX: Final = 200  # agents that an executor names; it may have more
OVERDUE_S: Final = 30.0
CLOSED: Final = "CLOSED"
BUILT_IN: Final = "inline"  # runs no agent but its own
GRANT_KEYS_VARIABLE: Final = "PENSTOCK_GRANT_KEYS"
Beat = Mapping[str, Any]


def judge_work(
    bus: BusSight, stores: StoreSight, stack: StackSight, folder: StateFolder, version: str
) -> Iterator[Finding]:
    """Judge what was seen."""
    findings = [
        *_executors(bus, version), *_tasks(bus), *_agents(bus, stores), *_laid_aside(bus),
        *_parked(stores), *_unknown(stores), *_approvals(stores), *_keys(stack, folder),
    ]  # fmt: skip
    yield from findings
    if bus.beats is not None and not findings:
        yield well("work", f"{len(bus.beats)} executors, nothing waits for a person", bus.address)


# --- executors ----------------------------------------------------------------------------------


def _executors(bus: BusSight, version: str) -> Iterator[Finding]:
    for key, beat in sorted((bus.beats or {}).items()):
        name = str(beat.get("name") or key)
        where = f"{bus.address}, {HEARTBEAT_STREAM}, executor {name}"
        yield from _executor(beat, name, where, version)


def _executor(beat: Beat, name: str, where: str, version: str) -> Iterator[Finding]:
    breaker = beat.get("breaker")
    if isinstance(breaker, dict) and breaker.get("state", CLOSED) != CLOSED:
        shown: Mapping[str, Any] = breaker
        reason = shortened(str(shown.get("reason", "")))
        detail = f"{name}: its breaker is {shown.get('state')}: {reason}"
        mend = (
            f"mend the sandbox's engine there (`penstock doctor` on the machine of {name}); "
            "the next probe closes the breaker"
        )
        yield found(Code.BREAKER_OPEN, "executor", detail, where, mend)
    elif not beat.get("available", True) and beat.get("adapter"):
        detail = f"{name}: its sandbox ({beat.get('adapter')}) cannot run anything"
        mend = f"`penstock doctor` on the machine of {name} names the obstacle"
        yield found(Code.EXECUTOR_CANNOT_RUN, "executor", detail, where, mend)
    if beat.get("adapter") == "process":
        mend = "unset PENSTOCK_SANDBOX and PENSTOCK_ALLOW_UNSANDBOXED there, and start it again"
        detail = f"{name} runs agents UNSANDBOXED"
        yield found(Code.EXECUTOR_UNSANDBOXED, "executor", detail, where, mend)
    elif beat.get("adapter") != BUILT_IN:
        for lacks in beat.get("degraded") or ():
            mend = "give the service a cgroup of its own; see docs/adr/0007-bubblewrap-sandbox.md"
            detail = f"{name}: {lacks!s}"
            yield found(Code.EXECUTOR_DEGRADED, "executor", detail, where, mend)
    other = str(beat.get("version") or "")
    if other and version and other != version:
        detail = f"{name} runs {other}, and this is {version}"
        mend = f"install {version} there, and start it again"
        yield found(Code.EXECUTOR_OTHER_VERSION, "executor", detail, where, mend)


def _tasks(bus: BusSight) -> Iterator[Finding]:
    if bus.beats is None:
        return
    served: dict[str, set[str]] = defaultdict(set)
    for beat in bus.beats.values():
        served[str(beat.get("pool"))].update(
            str(agent.get("name")) for agent in beat.get("agents") or ()
        )
    waiting: dict[str, int] = defaultdict(int)
    for (pool, agent), count in sorted(bus.queued.items()):
        if pool not in served:
            waiting[pool] += count
        elif agent not in served[pool] and len(served[pool]) < TOLD_MAX:
            where = f"{bus.address}, stream {Stream.TASKS}, pool {pool}"
            detail = f"{count} tasks wait for agent {agent}, which no executor of {pool} has"
            mend = (
                f"put the folder of {agent} where PENSTOCK_AGENT_ROOTS of an executor of {pool} "
                "points, or name another `pool` in the workflow"
            )
            yield found(Code.AGENT_NOWHERE, "tasks", detail, where, mend)
    for pool, count in waiting.items():
        where = f"{bus.address}, stream {Stream.TASKS}, pool {pool}"
        mend = f"`PENSTOCK_POOL={pool} penstock serve executor`"
        if not bus.consumers.get(pool):
            mend += f", and name {pool} in PENSTOCK_POOLS of the scheduler"
        detail = f"{count} tasks wait in pool {pool}, which no executor serves"
        yield found(Code.POOL_WITHOUT_EXECUTOR, "tasks", detail, where, mend)


def _agents(bus: BusSight, stores: StoreSight) -> Iterator[Finding]:
    """Compare what is registered with what executors have."""
    at_hand: dict[str, set[str]] = defaultdict(set)
    for beat in (bus.beats or {}).values():
        for agent in beat.get("agents") or ():
            at_hand[str(agent.get("name"))].add(str(agent.get("digest")))
    for row in stores.views.get("agent", ()):
        digest = str(row.body.get("digest"))
        if row.id in at_hand and digest not in at_hand[row.id]:
            detail = f"agent {row.id} is registered as {digest}, and no executor has that"
            where = f"tenant {row.tenant}, agent {row.id}"
            mend = "`penstock agents register --all` registers what is on this machine"
            yield found(Code.AGENT_DIGEST_MISMATCH, "agents", detail, where, mend)


def _laid_aside(bus: BusSight) -> Iterator[Finding]:
    if bus.laid_aside:
        detail = f"{bus.laid_aside} messages in TASKS were no tasks"
        where = f"{bus.address}, stream {Stream.DEAD}"
        mend = "see the executors' logs for who sent them; they age out by themselves"
        yield found(Code.DEAD_NOT_EMPTY, "dead letters", detail, where, mend)


# --- what waits for people ----------------------------------------------------------------------


def _parked(stores: StoreSight) -> Iterator[Finding]:
    rows = stores.views.get("dead", ())
    if rows:
        first = rows[-1]
        detail = (
            f"{len(rows)} messages are parked; the oldest: {first.body.get('code')} "
            f"on {first.body.get('subject')!s}"
        )
        mend = (
            f"`penstock dead show {first.id}` says why; mend that, then "
            f"`penstock dead redrive {first.id}`"
        )
        yield found(Code.MESSAGE_PARKED, "parked messages", detail, f"message {first.id}", mend)


def _unknown(stores: StoreSight) -> Iterator[Finding]:
    rows = stores.views.get("node", ())
    for row in rows[:SHOWN_MAX]:
        run, _, node = row.id.partition("/")
        detail = f"nobody knows whether {node} has happened"
        settle = f'penstock runs settle {run} {node} --reason "what was seen"'
        mend = f"look at the world, then `{settle} --happened` or `{settle} --did-not-happen`"
        where = f"run {run}, node {node}"
        yield found(Code.OUTCOME_UNKNOWN, "unknown outcome", detail, where, mend)


def _approvals(stores: StoreSight) -> Iterator[Finding]:
    tokens = stores.views.get("token")
    if tokens is not None and len(tokens) >= PAGE_MAX:
        tokens = None  # there are more than were read
    for row in stores.views.get("approval", ())[:SHOWN_MAX]:
        where = f"approval {row.id}, run {row.parent}"
        expires_us = row.body.get("expires_us")
        if isinstance(expires_us, int) and stores.now_us:
            late_s = (stores.now_us - expires_us) / MICROSECONDS
            if late_s > OVERDUE_S:
                detail = f"its time was over {late_s:.0f} s ago, and it is still pending"
                mend = f"start the approval service (`penstock status`; {Relief.RESTART})"
                yield found(Code.APPROVAL_OVERDUE, "approval", detail, where, mend)
                continue
        if tokens is not None:
            yield from _eligible(row, tokens, where)


def _eligible(row: ViewRow, tokens: Sequence[ViewRow], where: str) -> Iterator[Finding]:
    try:
        policy = Policy.model_validate(row.body.get("policy"))
    except ValidationError:
        return
    requester = str(row.body.get("requested_by") or "")
    may = [
        token.body.get("name")
        for token in tokens
        if token.body.get("tenant") == row.tenant
        and allowed(
            policy.approvers, str(token.body.get("name")), _texts(token.body.get("roles")),
            _texts(token.body.get("groups")),
        )
        and not (policy.separation and is_requester(requester, str(token.body.get("name"))))
    ]  # fmt: skip
    if len(set(may)) >= policy.quorum:
        return
    detail = f"needs {policy.quorum} people, and {len(set(may))} with a token may decide"
    yield found(Code.APPROVAL_FOR_NOBODY, "approval", detail, where, _issue(policy))


def _issue(policy: Policy) -> str:
    """Give the command that makes somebody who may decide."""
    asked = policy.approvers
    if asked.groups:
        return f"`penstock tokens issue NAME --role approver --group {asked.groups[0]}`"
    if asked.users:
        return f"`penstock tokens issue {asked.users[0]} --role approver`"
    role = asked.roles[0] if asked.roles else "approver"
    return f"`penstock tokens issue NAME --role {role}`"


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


# --- keys ---------------------------------------------------------------------------------------


def _keys(stack: StackSight, folder: StateFolder) -> Iterator[Finding]:
    """Compare the approval service's key with those that running executors were given."""
    key_id = _key_id(folder.grant_key)
    for name, environ in stack.environs.items():
        given = environ.get(GRANT_KEYS_VARIABLE, "")
        if not key_id or not given:
            continue
        try:
            known = {key.key_id for key in read_keys(given)}
        except ValueError:
            continue  # the executor itself refuses it
        if key_id not in known:
            detail = f"{name} does not know key {key_id}, with which approvals will be signed"
            where = f"{folder.grant_key} and {GRANT_KEYS_VARIABLE} of {name}"
            mend = f"{Relief.RESTART}: executors are given the key at their start"
            yield found(Code.GRANT_KEY_UNKNOWN, "grant key", detail, where, mend)


def _key_id(path: Path) -> str:
    try:
        return open_signer(path.read_text(encoding="utf-8")).key.key_id
    except (OSError, KeyFault, UnicodeDecodeError):
        return ""  # told by the look at the folder
