"""Refusals before the start, claims, cancels, stops, and what cannot be read."""

from pathlib import Path

import pytest
from pydantic_core import from_json

from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest, Network, Workspace
from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.run.v1 import ClaimTask
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import LOG_TYPE, LogLines
from penstock_executor.workspaces import Workspaces
from penstock_runtime.ports.bus import Published
from penstock_runtime.ports.sandbox import EgressRule, ExitReason, LogLine, SandboxHealth
from penstock_runtime.telemetry import metrics as m
from penstock_testkit.fakes.bus import KeptItem
from penstock_testkit.fakes.clock import START_US
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld, once

OTHER_DIGEST = "sha256:" + "0" * 64
SCANNER = PROBE.model_copy(update={"workspaces": (Workspace(input="repository_path"),)})


# --- refusals -----------------------------------------------------------------------------------


async def test_another_digest_is_refused_with_both_and_the_mend() -> None:
    async with ExecutorWorld() as world:
        task = world.task(agent_digest=OTHER_DIGEST)

        result = await world.result(task)

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.AGENT_UNAVAILABLE, False)
    assert OTHER_DIGEST in result.error.message
    assert world.bundles.bundles["probe"].digest in result.error.message
    assert "penstock agents register" in result.error.message
    assert world.sandbox.ran == []


async def test_an_absent_agent_is_refused() -> None:
    async with ExecutorWorld() as world:
        world.bundles.bundles.clear()

        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert "PENSTOCK_AGENT_ROOTS" in result.error.message


async def test_a_task_whose_time_is_over_is_not_started() -> None:
    async with ExecutorWorld() as world:
        result = await world.result(world.task(ends_by_us=START_US))

    assert result.error is not None
    assert result.error.code == Code.TIMEOUT_TOTAL
    assert world.sandbox.ran == []


async def test_the_tasks_own_time_bounds_the_sandbox() -> None:
    async with ExecutorWorld() as world:
        await world.result(world.task(running_s=3.0))

    assert world.sandbox.ran[0].limits.wall_s == 3.0
    assert world.sandbox.ran[0].limits.memory_bytes == 512 * 1024 * 1024


async def test_input_is_checked_against_the_manifest_without_showing_it() -> None:
    schema = {"type": "object", "properties": {"depth": {"type": "integer"}}}
    async with ExecutorWorld(PROBE.model_copy(update={"input": schema})) as world:
        result = await world.result(world.task(input={"depth": "hunter2"}))

    assert result.error is not None
    assert result.error.code == Code.INVALID_INPUTS
    assert (
        result.error.message == "the input of probe does not fit: $.depth: is not of type integer"
    )


async def test_a_missing_secret_is_named() -> None:
    async with ExecutorWorld(PROBE.model_copy(update={"secrets": ("slack-token",)})) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert "slack-token" in result.error.message


# --- workspaces ---------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "allowed" / "repo").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "allowed" / "file").write_text("")
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "outside")
    return tmp_path


async def test_a_workspace_is_mounted_and_its_value_rewritten(root: Path) -> None:
    repo = root / "allowed" / "repo"
    async with ExecutorWorld(SCANNER, workspaces=Workspaces([root / "allowed"])) as world:
        await world.result(world.task(input={"repository_path": str(repo), "depth": 1}))

    (spec,) = world.sandbox.ran
    (mount,) = spec.mounts
    assert (mount.source, mount.target, mount.writable) == (
        repo,
        "/penstock/workspace/repository_path",
        False,
    )
    assert from_json(spec.input) == {
        "repository_path": "/penstock/workspace/repository_path",
        "depth": 1,
    }


async def test_the_camel_case_alias_names_the_same_workspace(root: Path) -> None:
    async with ExecutorWorld(SCANNER, workspaces=Workspaces([root])) as world:
        await world.result(world.task(input={"repositoryPath": str(root)}))

    assert from_json(world.sandbox.ran[0].input) == {
        "repositoryPath": "/penstock/workspace/repository_path"
    }


async def test_without_mounts_the_real_path_stays(root: Path) -> None:
    async with ExecutorWorld(SCANNER, workspaces=Workspaces([root], rewrite=False)) as world:
        await world.result(world.task(input={"repository_path": f"{root}/allowed/../allowed/repo"}))

    assert from_json(world.sandbox.ran[0].input) == {"repository_path": f"{root}/allowed/repo"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("{root}/outside", "is outside the allowed roots"),
        ("{root}/allowed/../outside", "really {root}/outside"),
        ("{root}/allowed/link", "really {root}/outside"),
        ("{root}/allowed/repo/../../outside/nothing", "is outside the allowed roots"),
        ("{root}/allowed/nothing", "does not exist"),
        ("{root}/allowed/file", "is not a folder"),
        ("allowed/repo", "is not an absolute path"),
        ("{root}/allowed/repo\0", "is not an absolute path"),
        ("", "a path is a text"),
        (7, "a path is a text"),
        (None, "no path is given"),
    ],
)
async def test_other_paths_are_refused(root: Path, path: object, said: str) -> None:
    given = path.format(root=root) if isinstance(path, str) else path
    async with ExecutorWorld(SCANNER, workspaces=Workspaces([root / "allowed"])) as world:
        result = await world.result(world.task(input={"repository_path": given}))

    assert result.error is not None
    assert result.error.code == Code.WORKSPACE_REFUSED
    assert said.format(root=root) in result.error.message
    assert world.sandbox.ran == []


async def test_a_refusal_names_the_roots_and_the_setting(root: Path) -> None:
    async with ExecutorWorld(SCANNER, workspaces=Workspaces([root / "allowed"])) as world:
        result = await world.result(world.task(input={"repository_path": "/etc"}))

    assert result.error is not None
    assert result.error.message == (
        f"repository_path: /etc is outside the allowed roots ({root}/allowed); "
        "PENSTOCK_WORKSPACE_ROOTS of the executor names them"
    )


async def test_penstocks_own_state_is_covered_or_refused(root: Path) -> None:
    state, empty = root / "allowed" / ".penstock", root / "empty"
    state.mkdir()
    empty.mkdir()
    workspaces = Workspaces([root], hidden=[state], empty=empty)
    async with ExecutorWorld(SCANNER, workspaces=workspaces) as world:
        await world.result(world.task("one", input={"repository_path": f"{root}/allowed"}))
        world.publisher.sent.clear()
        refused = await world.result(world.task("two", input={"repository_path": str(state)}))

    cover = world.sandbox.ran[0].mounts[1]
    assert (cover.source, cover.target) == (
        empty,
        "/penstock/workspace/repository_path/.penstock",
    )
    assert refused.error is not None
    assert "holds Penstock's own state" in refused.error.message


# --- network and secrets ------------------------------------------------------------------------


@pytest.mark.parametrize("network", list(Network))
async def test_egress_is_for_those_who_ask(network: Network) -> None:
    rules = (EgressRule("hooks.example.org", 443),)
    manifest = PROBE.model_copy(update={"network": network})
    async with ExecutorWorld(manifest, egress=rules) as world:
        await world.result()

    assert world.sandbox.ran[0].egress == (rules if network is Network.EGRESS else ())


async def test_secrets_reach_the_agent_and_nobody_else() -> None:
    secret = 'hunter2-"quoted"/secret'
    manifest = PROBE.model_copy(update={"secrets": ("api-key",)})
    async with ExecutorWorld(manifest, secrets={"api-key": secret}) as world:
        world.sandbox.lines = [
            LogLine("stdout", f"key={secret}", 1),
            LogLine("stderr", "base64 aHVudGVyMi0icXVvdGVkIi9zZWNyZXQ=", 2),
            LogLine("stderr", "url hunter2-%22quoted%22%2Fsecret", 3),
        ]
        world.sandbox.ends(exit_code=0, output=b'{"echo": "hunter2-\\"quoted\\"/secret!"}')
        result = await world.result()

    assert dict(world.sandbox.ran[0].secrets) == {"API_KEY": secret}
    assert result.output == {"echo": "[redacted]!"}
    everything = b"".join(message.payload for message in world.publisher.sent)
    assert b"hunter2" not in everything
    assert b"aHVudGVy" not in everything
    (data,) = world.data_of(LOG_TYPE)
    assert LogLines.model_validate(data).lines == (
        ("stdout", "key=[redacted]"),
        ("stderr", "base64 [redacted]"),
        ("stderr", "url [redacted]"),
    )


async def test_a_crash_message_is_redacted_too() -> None:
    manifest = PROBE.model_copy(update={"secrets": ("KEY",)})
    async with ExecutorWorld(manifest, secrets={"KEY": "hunter2"}) as world:
        world.sandbox.lines = [LogLine("stderr", "bad key hunter2", 1)]
        world.sandbox.ends(exit_code=1)
        result = await world.result()

    assert result.error is not None
    assert result.error.message.endswith("its last line: bad key [redacted]")


# --- logs ---------------------------------------------------------------------------------------


async def test_lines_are_sent_while_the_task_runs() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        world.sandbox.lines = [LogLine("stdout", f"line {number}", number) for number in range(70)]
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        await world.until(lambda: world.data_of(LOG_TYPE))
        assert [len(data["lines"]) for data in world.data_of(LOG_TYPE)] == [64]  # type: ignore[arg-type]
        await world.clock.advance(0.1)
        batches = [LogLines.model_validate(data) for data in world.data_of(LOG_TYPE)]
        world.sandbox.hold.set()
        assert await world.settled(item) == "ack"

    assert [(batch.first, len(batch.lines), batch.at_us) for batch in batches] == [
        (0, 64, 0),
        (64, 6, 64),
    ]
    log = next(message for message in world.publisher.sent if message.stream == Stream.LOGS)
    assert log.subject == subjects.log("default", batches[0] and world.task().run_id, "scan")


# --- claims -------------------------------------------------------------------------------------


def nonce_of(world: ExecutorWorld) -> str:
    return ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce


async def test_a_once_task_begins_when_its_claim_is_granted() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        assert world.sandbox.ran == []
        await world.answer_claim(task, "another-nonce", granted=False)
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"

    (result,) = world.results()
    assert result.nonce == nonce_of(world)
    claim = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0])
    assert (claim.token, claim.executor) == ("code-of-the-task", "executor.one")
    assert world.metrics.of(m.CLAIMS, "granted") == 1


async def test_a_claimed_task_whose_agent_was_ended_in_its_middle_is_unknown() -> None:
    async with ExecutorWorld(once()) as world:
        world.sandbox.ends(ExitReason.TIMEOUT, detail="ran longer than 60 s")
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    assert result.error.message == (
        "the agent ran longer than 60 s and was ended; the effect may have happened"
    )


async def test_a_refused_claim_is_acknowledged_and_nothing_has_happened() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=False)
        assert await world.settled(item) == "ack"

    assert world.results() == []
    assert world.sandbox.ran == []


async def test_a_claim_is_sent_each_second_and_given_up_after_thirty() -> None:
    async with ExecutorWorld(once()) as world:
        item = world.deliver()
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.clock.advance(31.0)
        assert await world.settled(item) == "back 5"

    claims = world.data_of(ClaimTask.TYPE)
    assert len(claims) == 30
    assert len({str(claim["nonce"]) for claim in claims}) == 1
    assert all(message.message_id is None for message in world.publisher.sent)
    assert world.sandbox.ran == []


async def test_each_delivery_draws_another_nonce() -> None:
    async with ExecutorWorld(once()) as world:
        for _ in range(2):
            item = world.deliver()
            count = len(world.data_of(ClaimTask.TYPE))
            await world.until(lambda seen=count: len(world.data_of(ClaimTask.TYPE)) > seen)
            await world.clock.advance(31.0)
            assert await world.settled(item) == "back 5"

    assert len({str(claim["nonce"]) for claim in world.data_of(ClaimTask.TYPE)}) == 2


async def test_a_once_task_that_is_refused_beforehand_claims_nothing() -> None:
    async with ExecutorWorld(once(SCANNER)) as world:
        result = await world.result(world.task(input={"repository_path": "/etc"}))

    assert result.nonce is None
    assert world.data_of(ClaimTask.TYPE) == []


async def test_a_claim_answer_that_cannot_be_read_is_passed_over() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.control.send(subjects.control("default", task.task_id, "claim"), b"nonsense")
        await world.answer_claim(task, nonce_of(world), granted=True)
        assert await world.settled(item) == "ack"


# --- cancel and stop ----------------------------------------------------------------------------


async def test_a_cancelled_task_is_killed_and_acknowledged_without_a_result() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.sandbox.ran)
        await world.control.send(subjects.control("default", task.task_id, "cancel"), b"")
        assert await world.settled(item) == "ack"
        world.sandbox.hold.set()
        assert await world.settled(world.deliver(world.task("next"))) == "ack"

    assert world.sandbox.killed == [task.task_id]
    assert [result.node for result in world.results()] == ["next"]


async def test_a_claim_may_be_cancelled_while_it_waits() -> None:
    async with ExecutorWorld(once()) as world:
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.control.send(subjects.control("default", task.task_id, "cancel"), b"")
        assert await world.settled(item) == "ack"

    assert world.results() == []


async def test_a_cancel_for_somebody_elses_task_changes_nothing() -> None:
    async with ExecutorWorld() as world:
        other = world.task("other").task_id
        await world.control.send(subjects.control("default", other, "cancel"), b"")
        assert (await world.result()).error is None


async def test_a_stop_lets_running_tasks_end() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        world.sandbox.hold.set()
        await world.ended()

    assert item.fates == ["ack"]
    assert len(world.results()) == 1
    assert world.heartbeats.entries == {}


async def test_after_the_grace_a_repeatable_task_goes_back() -> None:
    async with ExecutorWorld(grace_s=5.0) as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(5.0)
        await world.ended()

    assert item.fates == ["back 0"]
    assert world.results() == []
    assert len(world.sandbox.killed) == 1


async def test_after_the_grace_a_begun_once_task_has_an_unknown_outcome() -> None:
    async with ExecutorWorld(once(), grace_s=5.0) as world:
        world.sandbox.hold.clear()
        task = world.task()
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.answer_claim(task, nonce_of(world), granted=True)
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(5.0)
        await world.ended()

    assert item.fates == ["ack"]
    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    assert result.nonce == nonce_of(world)


async def test_a_second_delivery_of_a_running_task_goes_back() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        first = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        assert await world.settled(world.deliver()) == "back 30"
        world.sandbox.hold.set()
        assert await world.settled(first) == "ack"

    assert len(world.sandbox.ran) == 1


# --- what cannot be read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", [b"nonsense", b"{}", b'{"id":"x","type":"task.execute.v1","data":{}}', b"\xff"]
)
async def test_garbage_is_kept_and_acknowledged(payload: bytes) -> None:
    async with ExecutorWorld() as world:
        task = world.task()
        item = KeptItem(subjects.task("default", "default", "probe", task.task_id), payload)
        world.queue.put(item)
        assert await world.settled(item) == "ack"

    (message,) = world.publisher.sent
    assert message.stream == Stream.DEAD
    assert message.subject == subjects.dead(
        "default", Stream.TASKS, f"default.probe.{task.task_id}"
    )
    parked = MessageParked.model_validate(world.data_of(MessageParked.TYPE)[0])
    assert (parked.stream, parked.code, parked.size_bytes) == (
        "TASKS",
        Code.MALFORMED,
        len(payload),
    )
    assert world.metrics.of(m.TASKS_DEAD, "default") == 1


async def test_a_task_under_another_tasks_subject_is_garbage() -> None:
    async with ExecutorWorld() as world:
        item = world.item(world.task())
        item.subject = subjects.task("other", "default", "probe", world.task().task_id)
        world.queue.put(item)
        assert await world.settled(item) == "ack"

    assert world.publisher.sent[0].stream == Stream.DEAD
    assert world.sandbox.ran == []


async def test_garbage_that_cannot_be_kept_stays_on_the_queue() -> None:
    async with ExecutorWorld() as world:
        world.publisher.outcomes.append(Published.FAILED)
        item = KeptItem(subjects.task("default", "default", "probe", "x"), b"nonsense")
        world.queue.put(item)
        assert await world.settled(item) == "back 30"


# --- the sandbox's health -----------------------------------------------------------------------


async def test_without_a_sandbox_tasks_wait_and_readiness_says_why() -> None:
    world = ExecutorWorld()
    world.sandbox.health = SandboxHealth(
        "bubblewrap", "none", False, (), "user namespaces are refused", "allow them"
    )
    async with world:
        item = world.deliver()
        await world.clock.advance(1.0)
        (check,) = await world.executor.checks()
        assert (check.ok, check.detail) == (False, "user namespaces are refused: allow them")
        assert item.fates == []

        world.sandbox.health = SandboxHealth("bubblewrap", "namespaces", True, (), None, None)
        await world.clock.advance(5.0)
        assert await world.settled(item) == "ack"
        (check,) = await world.executor.checks()
        assert (check.ok, check.detail) == (True, "namespaces")


async def test_heartbeats_say_who_runs_what() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        world.deliver()
        await world.until(lambda: world.sandbox.ran)
        await world.clock.advance(10.0)
        entry = world.heartbeats.entries["executor-one"]

    assert (entry["name"], entry["pool"], entry["capacity"], entry["running"]) == (
        "executor.one",
        "default",
        4,
        1,
    )
    assert entry["available"] is True


def test_the_manifest_of_a_test_is_repeatable() -> None:
    assert isinstance(PROBE, AgentManifest)
    assert PROBE.repeats
    assert not once().repeats
