"""Faults of a running stack, of its services and of its work: seeded, explained, mended.

One stack serves all cases; each puts back what it broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from penstock_adapters.embedded.home import StateFolder, write_private
from penstock_adapters.embedded.postgres_roles import owner_of
from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.signing import make_key
from penstock_cli.app import run
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding
from penstock_contracts.subjects import Stream, trigger
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.stack import RunningStack
from tests.integration.doctor_scene import Report, commands, report, scene

pytestmark = [
    pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip

WITHIN_S = 120.0
SETTINGS = {"PENSTOCK_SANDBOX": "inline"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doctored(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[RunningStack]:
    """Four services on real servers, with the built-in agents."""
    folder = tmp_path_factory.mktemp("doctored") / "state"
    async with RunningStack.started(folder, **SETTINGS) as running:
        await running.register_builtin()
        yield running


async def examined(stack: RunningStack) -> Report:
    return await report(scene(stack.home, SETTINGS))


async def until(
    stack: RunningStack, code: Code, at: str = "", holds: Callable[[Finding], bool] = bool
) -> Finding:
    """Examine until a fault shows."""
    last: list[Finding] = []

    async def shows() -> bool:
        found = await examined(stack)
        last[:] = [
            item for item in found.findings
            if item.code is code and at in item.where and holds(item)
        ]  # fmt: skip
        return bool(last)

    await stack.until(shows, WITHIN_S)
    assert last[0].detail
    assert last[0].where
    assert last[0].mend
    return last[0]


async def until_well(stack: RunningStack) -> None:
    """Examine until nothing is wrong."""
    faults: list[Finding] = []

    async def is_well() -> bool:
        faults[:] = (await examined(stack)).faults
        return not faults

    with contextlib.suppress(TimeoutError):
        await stack.until(is_well, WITHIN_S)
    assert faults == []


def penstock(stack: RunningStack, *line: str) -> tuple[int, str]:
    """Run a line as a person would; gives exit code and output."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
            patch.delenv(name)
        patch.setenv("PENSTOCK_HOME", str(stack.home))
        patch.setenv("PENSTOCK_SANDBOX", "inline")
        code = run(list(line))
    return code, output.getvalue()


async def penstock_elsewhere(stack: RunningStack, *line: str) -> tuple[int, str]:
    """Run a line in a thread: verbs have an event loop of their own."""

    return await asyncio.to_thread(penstock, stack, *line)


def sql(stack: RunningStack, database: str, statement: str) -> None:
    """Run a statement as the owner of a database."""
    url = stack.endpoints.postgres_urls[owner_of(database)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_a_stack_that_is_well_has_no_finding_and_no_secret_is_told(doctored: RunningStack):
    outputs: list[str] = []

    async def is_well() -> bool:
        code, text = await penstock_elsewhere(doctored, "doctor", "--json")
        outputs.append(text)
        return code == 0 and {item["code"] for item in json.loads(text)["findings"]} == {"ok"}

    await doctored.until(is_well, WITHIN_S)
    text = outputs[-1]
    told = json.loads(text)
    assert told["ok"] is True
    seen = {item["subject"] for item in told["findings"]}
    assert {"nats", "streams", "partitions", "work", "executor: sandbox", "clock"} <= seen
    code, shown = await penstock_elsewhere(doctored, "doctor")
    assert code == 0
    assert "nothing is broken" in shown
    folder = StateFolder.at(doctored.home)
    secrets = json.loads(folder.secrets.read_text()).values()
    assert not any(secret in text + shown for secret in secrets)


@contextlib.contextmanager
def replaced(path: Path, text: str | None) -> Iterator[None]:
    """A file of the state folder with another content, or gone."""
    kept = path.read_text()
    if text is None:
        path.unlink()
    else:
        write_private(path, text)
    try:
        yield
    finally:
        write_private(path, kept)


async def test_a_token_file_that_is_gone_is_named(doctored: RunningStack):
    folder = StateFolder.at(doctored.home)
    with replaced(folder.admin_token, None):
        finding = await until(doctored, Code.CREDENTIAL_FILE_MISSING, "admin.token")
        assert "penstock up --detach" in commands(finding.mend)
        code, text = await penstock_elsewhere(doctored, "doctor")
        assert code == 1
        assert "credential_file_missing" in text
        assert " broken" in text
    await until_well(doctored)


async def test_a_grant_key_that_no_executor_knows_is_named(doctored: RunningStack):
    folder = StateFolder.at(doctored.home)
    with replaced(folder.grant_key, make_key()):
        finding = await until(doctored, Code.GRANT_KEY_UNKNOWN, "PENSTOCK_GRANT_KEYS of executor")
        assert "penstock up --detach" in commands(finding.mend)
    await until_well(doctored)


async def test_an_agent_registered_otherwise_is_registered_again(doctored: RunningStack):
    noop = builtin_manifests()[0].to_data()
    await doctored.register({**noop, "description": "Another one."})
    try:
        finding = await until(doctored, Code.AGENT_DIGEST_MISMATCH, f"agent {noop['name']}")
        assert "penstock agents register --all" in commands(finding.mend)
    finally:
        await doctored.register(noop)  # what is on this machine: here the built-in one
    await until_well(doctored)


async def test_a_task_for_a_pool_without_executor_is_named(doctored: RunningStack):
    await doctored.apply("far", {"a": {"agent": "noop", "pool": "nowhere"}})
    run_id = await doctored.trigger("far")
    try:
        finding = await until(doctored, Code.POOL_WITHOUT_EXECUTOR, "pool nowhere")
        assert "PENSTOCK_POOL=nowhere penstock serve executor" in commands(finding.mend)
        assert "PENSTOCK_POOLS" in finding.mend
    finally:
        await doctored.call("POST", f"/api/runs/{run_id}/cancel", {"reason": "seen"})
    await until_well(doctored)


async def test_an_approval_for_nobody_gets_somebody_by_the_command(doctored: RunningStack):
    gate = {"title": "Shall we?", "approvers": {"groups": ["release"]}, "expires": "1h"}
    await doctored.apply("gated", {"ask": {"approval": gate}})
    run_id = await doctored.trigger("gated")
    try:
        approval = await doctored.pending_approval(run_id)
        finding = await until(doctored, Code.APPROVAL_FOR_NOBODY, approval)
        (command,) = commands(finding.mend)
        words = command.replace("NAME", "zoe").split()
        assert words.pop(0) == "penstock"
        code, text = await penstock_elsewhere(doctored, *words)
        assert code == 0, text
        await until_well(doctored)
    finally:
        await doctored.call("POST", f"/api/runs/{run_id}/cancel", {"reason": "seen"})
        await penstock_elsewhere(doctored, "tokens", "revoke", "zoe")
    await until_well(doctored)


async def test_a_parked_message_is_named_with_what_shows_it(doctored: RunningStack):
    subject = trigger(DEFAULT_TENANT, "demo")
    await doctored.publish(Stream.TRIGGERS, subject, b"{ no json")
    try:
        finding = await until(doctored, Code.MESSAGE_PARKED, "message ")
        assert "malformed" in finding.detail
        show, redrive = commands(finding.mend)
        assert redrive.startswith("penstock dead redrive ")
        code, text = await penstock_elsewhere(doctored, *show.split()[1:])
        assert code == 0
        assert "{ no json" in text
    finally:
        sql(doctored, "penstock_gateway", "DELETE FROM views WHERE kind = 'dead'")
    await until_well(doctored)


@pytest.mark.long
async def test_a_service_that_hangs_is_ended_by_the_command(doctored: RunningStack):
    pid = doctored.pid("executor")
    os.kill(pid, signal.SIGSTOP)
    try:
        finding = await until(doctored, Code.SERVICE_SILENT, "/health/ready")
        assert finding.subject == "executor"
    finally:
        await asyncio.to_thread(subprocess.run, ["kill", "-9", str(pid)], check=True)
    assert f"kill -9 {pid}" in commands(finding.mend)
    await until_well(doctored)


async def test_a_service_that_ends_again_and_again_is_explained_by_its_log(
    doctored: RunningStack,
):
    sql(doctored, "penstock_approval", "INSERT INTO schema_version VALUES (99, 'newer')")
    try:
        os.kill(doctored.pid("approval"), signal.SIGKILL)
        finding = await until(
            doctored, Code.SERVICE_LOOPING, "approval.log", lambda one: "version 99" in one.detail
        )
        assert finding.subject == "approval"
        assert "approval.log" in finding.mend
        assert Code.SCHEMA_NEWER in (await examined(doctored)).codes
    finally:
        sql(doctored, "penstock_approval", "DELETE FROM schema_version WHERE version = 99")
    await until_well(doctored)


@pytest.mark.long
async def test_a_stream_deleted_under_a_running_stack_is_named(doctored: RunningStack):
    api = JetStreamApi(await doctored.bus())
    await api.call(f"STREAM.DELETE.{Stream.LOGS}")
    try:
        finding = await until(doctored, Code.STREAM_MISSING, "stream LOGS")
        assert "penstock up --detach" in commands(finding.mend)
    finally:
        await doctored.kill("scheduler")  # it starts again, and looks after its streams
    await until_well(doctored)


@pytest.mark.long
async def test_a_bus_that_hangs_hides_nothing_else(doctored: RunningStack):
    pid = doctored.pid("nats")
    os.kill(pid, signal.SIGSTOP)
    try:
        found = await examined(doctored)
        assert found.one(Code.BUS_UNREACHABLE).mend
        assert not {code for code in found.codes if code.value.startswith("store")}
    finally:
        os.kill(pid, signal.SIGCONT)
    await until_well(doctored)


@pytest.mark.long
async def test_an_unknown_outcome_is_settled_by_the_command(doctored: RunningStack):
    await doctored.apply("once", {"a": {"agent": "noop-once", "with": {"sleep_ms": 60_000}}})
    run_id = await doctored.trigger("once")

    async def claimed() -> bool:
        run = await doctored.get(f"/api/runs/{run_id}")
        return any(node["status"] == "running" for node in run["nodes"].values())

    try:
        await doctored.until(claimed, WITHIN_S)
        await doctored.kill("executor")
        finding = await until(doctored, Code.OUTCOME_UNKNOWN, run_id)
        settle = next(one for one in commands(finding.mend) if one.endswith("--happened"))
        code, text = await penstock_elsewhere(doctored, *shlex.split(settle)[1:])
        assert code == 0, text
    finally:
        await doctored.call("POST", f"/api/runs/{run_id}/cancel", {"reason": "seen"})
    await until_well(doctored)
