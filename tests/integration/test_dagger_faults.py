"""What goes wrong between a sandbox and its engine, each with the word for it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.dagger import DaggerSandbox
from penstock_adapters.dagger.images import Archive, Tree
from penstock_runtime.ports.sandbox import ExitReason, Limits, Mount
from penstock_testkit.sandbox_probes import LIMITS, Log
from tests.integration.fake_world import SLEEP, WAIT_S, WAITS, World, output, played, task

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

SHORT = replace(WAITS, hello_s=0.5, start_s=0.5, ping_s=2, end_s=0.2, cancel_s=0.2, finish_s=0.5)
BRIEF: Limits = replace(LIMITS, wall_s=0.5)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("tree"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, tree: Tree) -> AsyncIterator[World]:
    async with played(tmp_path_factory.mktemp("played"), image=tree) as world:
        yield world


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


async def goes_on(world: World, bundle: Path) -> None:
    assert output(await world.ran(task(bundle, "give(1)"))) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no-session", "without a session; it said: no engine could be started here"),
        ("garbled", "without a session"),
        ("away", "the API does not answer"),
    ],
)
async def test_an_engine_that_is_not_reached(world: World, bundle: Path, fault: str, said: str):
    await goes_on(world, bundle)
    world.end_cli()
    with world.fault(fault):
        # What ended may be noticed by the first request only.
        await world.ran(task(bundle, "give(1)"))
        result = await world.ran(task(bundle, "give(1)"))
        health = await world.sandbox.check()
    assert (result.reason, result.output) == (ExitReason.UNAVAILABLE, None)
    assert said in result.detail
    assert not health.available
    assert said in (health.obstacle or "")
    assert "PENSTOCK_DAGGER_ENGINE" in (health.mend or "")
    await goes_on(world, bundle)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("refuse-exec", "failed to start the container"),
        ("bad-hello", "before its first process called"),
        ("refuse-image", "files that agents run in cannot be used: no such image"),
    ],
)
async def test_a_container_that_does_not_come_up(
    world: World, bundle: Path, fault: str, said: str, tree: Tree, tmp_path: Path
):
    if fault == "refuse-image":
        async with played(tmp_path / "other", image=tree) as other:
            with other.fault(fault):
                result = await other.ran(task(bundle, "give(1)"))
            await goes_on(other, bundle)
    else:
        with world.fault(fault):
            result = await world.ran(task(bundle, "give(1)"))
    assert result.reason is ExitReason.UNAVAILABLE
    assert result.detail.endswith(said)
    await goes_on(world, bundle)


async def test_a_workspace_that_does_not_come_back_is_a_loss(
    world: World, bundle: Path, tmp_path: Path
):
    mounts = (Mount(tmp_path, "/penstock/space", writable=True),)
    with world.fault("refuse-export"):
        result = await world.ran(replace(task(bundle, "give(1)"), mounts=mounts))
    assert (result.reason, result.output) == (ExitReason.LOST, None)
    assert result.detail.endswith("brought back: no space left on device")
    await goes_on(world, bundle)


@pytest.mark.parametrize("faults", [("away",), ("hang", "deaf"), ("hang",)])
async def test_an_engine_that_goes_while_an_agent_runs(
    tmp_path: Path, bundle: Path, tree: Tree, faults: tuple[str, ...]
):
    waits = replace(SHORT, hello_s=20, start_s=20, late_s=0.3)
    async with played(tmp_path / "played", image=tree, waits=waits) as world:
        log = Log()
        running = asyncio.create_task(world.ran(task(bundle, SLEEP), log))
        await log.saw("up")
        with world.fault(*faults):
            result = await running
        assert (result.reason, result.output) == (ExitReason.LOST, None)
        await goes_on(world, bundle)


async def test_a_cli_that_ends_while_an_agent_runs(world: World, bundle: Path):
    log = Log()
    running = asyncio.create_task(world.ran(task(bundle, SLEEP), log))
    await log.saw("up")
    world.end_cli()
    assert (await running).reason is ExitReason.LOST
    await goes_on(world, bundle)


async def test_a_container_that_goes(world: World, bundle: Path):
    with world.fault("dies"):
        result = await world.ran(task(bundle, "give(1)"))
    assert result.reason is ExitReason.LOST
    await goes_on(world, bundle)


async def test_a_container_that_does_not_do_what_it_is_told(world: World, bundle: Path):
    with world.fault("deaf"):
        result = await world.ran(replace(task(bundle, SLEEP), limits=BRIEF))
    assert result.reason is ExitReason.LOST
    await goes_on(world, bundle)


async def test_a_container_that_does_not_call(tmp_path: Path, bundle: Path, tree: Tree):
    waits = replace(WAITS, start_s=0.5, cancel_s=0.3)
    async with played(tmp_path / "played", image=tree, waits=waits) as world:
        with world.fault("silent"):
            result = await world.ran(task(bundle, "give(1)"))
        assert result.reason is ExitReason.UNAVAILABLE
        assert "no container was started in 0.5 s" in result.detail


@pytest.mark.parametrize("fault", ["mute", "hang", "stubborn"])
async def test_a_cli_that_hangs_is_ended(tmp_path: Path, bundle: Path, tree: Tree, fault: str):
    async with played(tmp_path / "played", image=tree, waits=SHORT) as world:
        with world.fault(fault, "mute"):
            result = await world.ran(task(bundle, "give(1)"))
    assert result.reason is ExitReason.UNAVAILABLE
    assert "no answer from an engine of its own choice in 0.5 s" in result.detail


async def test_a_refusal_of_something_else(tmp_path: Path, bundle: Path, tree: Tree):
    async with played(tmp_path / "played", image=tree) as world:
        with world.fault("refuse-socket"):
            result = await world.ran(task(bundle, "give(1)"))
        assert result.reason is ExitReason.UNAVAILABLE
        assert result.detail == "the engine refuses: no sockets here"
        await goes_on(world, bundle)


async def test_a_sandbox_that_is_closed(tmp_path: Path, bundle: Path, tree: Tree):
    async with played(tmp_path / "played", image=tree) as world:
        log = Log()
        running = asyncio.create_task(world.sandbox.run(task(bundle, SLEEP), log))
        await log.saw("up")
        async with asyncio.timeout(WAIT_S):
            await world.sandbox.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        result = await world.ran(task(bundle, "give(1)"))
        assert (result.reason, result.detail) == (ExitReason.UNAVAILABLE, "the sandbox is closed")


async def test_a_sandbox_that_was_never_used_is_closed(tmp_path: Path):
    await DaggerSandbox(tmp_path / "scratch").close()


async def test_a_scratch_folder_with_a_long_path(tmp_path: Path, bundle: Path, tree: Tree):
    deep = tmp_path / ("deep" * 30)
    async with played(tmp_path / "played", image=tree, scratch=deep) as world:
        await goes_on(world, bundle)


async def test_the_container_that_agents_start_from_is_given(world: World, bundle: Path):
    await goes_on(world, bundle)
    session, found = await world.sandbox.base()
    assert session.usable
    assert found.startswith("id-")


# --- no engine, no CLI --------------------------------------------------------------------------


async def obstacle(sandbox: DaggerSandbox) -> str:
    async with asyncio.timeout(WAIT_S):
        health = await sandbox.check()
        await sandbox.close()
    assert not health.available
    return health.obstacle or ""


async def test_a_cli_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    missing = tmp_path / "no-dagger"
    assert "cannot be started" in await obstacle(DaggerSandbox(tmp_path / "a", cli=missing))
    programs = tmp_path / "programs"
    programs.mkdir()
    ldd = shutil.which("ldd")
    monkeypatch.setenv("PATH", str(programs))
    assert "`ldd` is not on PATH" in await obstacle(DaggerSandbox(tmp_path / "b"))
    assert ldd is not None
    (programs / "ldd").symlink_to(ldd)
    assert "PENSTOCK_DAGGER_CLI" in await obstacle(DaggerSandbox(tmp_path / "c"))


@pytest.mark.parametrize("engine", ["unix:///no/such.sock", "tcp://127.0.0.1:9", "tcp://nothing"])
async def test_an_engine_that_is_not_there(tmp_path: Path, engine: str):
    sandbox = DaggerSandbox(tmp_path / "s", cli=Path("/bin/false"), engine=engine)
    assert await obstacle(sandbox) == f"nobody listens at {engine}"


async def test_an_engine_is_handed_to_the_cli(tmp_path: Path, bundle: Path, tree: Tree):
    engine = "docker-container://engine"
    async with played(tmp_path / "played", image=tree, engine=engine) as world:
        await goes_on(world, bundle)


async def test_a_default_image_that_cannot_be_read(tmp_path: Path, bundle: Path):
    image = Archive(tmp_path / "missing.tar", None)
    async with played(tmp_path / "played", image=image) as world:
        result = await world.ran(task(bundle, "give(1)"))
    assert result.reason is ExitReason.UNAVAILABLE
    assert "missing.tar" in result.detail
