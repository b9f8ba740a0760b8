"""What a task is given: folders, network and secrets; and what it prints."""

from pathlib import Path

import pytest
from pydantic_core import from_json

from penstock_contracts import subjects
from penstock_contracts.agent.v1 import Network, Workspace
from penstock_contracts.codes import Code
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import LOG_TYPE, LogLines
from penstock_executor.workspaces import Workspaces
from penstock_runtime.ports.sandbox import EgressRule, LogLine
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld

SCANNER = PROBE.model_copy(update={"workspaces": (Workspace(input="repository_path"),)})


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
    assert b"hunter22" not in everything
    assert b"aHVudGVy" not in everything
    (data,) = world.data_of(LOG_TYPE)
    assert LogLines.model_validate(data).lines == (
        ("stdout", "key=[redacted]"),
        ("stderr", "base64 [redacted]"),
        ("stderr", "url [redacted]"),
    )


async def test_a_crash_message_is_redacted_too() -> None:
    manifest = PROBE.model_copy(update={"secrets": ("KEY",)})
    async with ExecutorWorld(manifest, secrets={"KEY": "hunter22"}) as world:
        world.sandbox.lines = [LogLine("stderr", "bad key hunter22", 1)]
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
