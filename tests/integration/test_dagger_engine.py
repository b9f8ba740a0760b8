"""An engine that goes away, hangs, comes back; images, workspaces, secrets and memory of it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from penstock_adapters.dagger import DaggerSandbox
from penstock_adapters.dagger.interpreter import trial_command
from penstock_runtime.ports.sandbox import (
    EgressRule,
    ExitReason,
    Mount,
    SandboxResult,
    SandboxSpec,
)
from penstock_testkit.engine_link import EngineLink, linked
from penstock_testkit.sandbox_probes import LIMITS, PRELUDE, Log
from penstock_testkit.sandboxes import dagger_engine, opened_dagger
from tests.integration.small_images import archive, small_root

pytestmark = [pytest.mark.real, pytest.mark.dagger, pytest.mark.asyncio(loop_scope="module")]

WAIT_S = 100.0
CANCEL_S = 2.0
RESTART = "PENSTOCK_TEST_DAGGER_RESTART"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DaggerSandbox]:
    async with opened_dagger(tmp_path_factory.mktemp("dagger") / "scratch") as sandbox:
        health = await sandbox.check()
        assert health.available, health.obstacle
        yield sandbox


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


def task(bundle: Path, code: str, *arguments: str) -> SandboxSpec:
    command = ("python", "-S", "-c", PRELUDE + code, *arguments)
    return SandboxSpec("task-1", bundle, command, b"{}", LIMITS)


async def finished(sandbox: DaggerSandbox, spec: SandboxSpec, log: Log | None = None):
    async with asyncio.timeout(WAIT_S):
        return await sandbox.run(spec, log or Log())


def output(result: SandboxResult) -> object:
    assert result.reason is ExitReason.EXITED, result.detail
    return json.loads(result.output or b"null")


# --- an engine that goes away -------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def link():
    with tempfile.TemporaryDirectory(prefix="link-") as folder:
        async with linked(dagger_engine(), Path(folder)) as link:
            yield link


SLEEP = "print('up', flush=True); time.sleep(600)"


async def test_a_task_whose_engine_goes_is_lost_and_the_next_one_runs(
    tmp_path: Path, bundle: Path, link: EngineLink
):
    async with opened_dagger(tmp_path / "scratch", engine=link.host) as sandbox:
        assert (await sandbox.check()).available
        log = Log()
        running = asyncio.create_task(sandbox.run(task(bundle, SLEEP), log))
        await log.saw("up")
        link.cut()
        async with asyncio.timeout(WAIT_S):
            assert (await running).reason is ExitReason.LOST
        away = await finished(sandbox, task(bundle, "give(1)"))
        assert (away.reason, away.output) == (ExitReason.UNAVAILABLE, None)
        health = await sandbox.check()
        assert not health.available
        assert link.host in (health.obstacle or "")
        assert health.mend
        await link.restore()
        assert output(await finished(sandbox, task(bundle, "give(2)"))) == 2


async def test_an_engine_that_hangs_is_noticed(tmp_path: Path, bundle: Path, link: EngineLink):
    async with opened_dagger(tmp_path / "scratch", engine=link.host) as sandbox:
        assert (await sandbox.check()).available
        log = Log()
        spec = replace(task(bundle, SLEEP), limits=replace(LIMITS, wall_s=3))
        running = asyncio.create_task(sandbox.run(spec, log))
        await log.saw("up")
        link.hold()
        async with asyncio.timeout(WAIT_S):
            assert (await running).reason is ExitReason.LOST
        link.cut()
        await link.restore()
        assert output(await finished(sandbox, task(bundle, "give(2)"))) == 2


async def test_an_engine_that_is_killed_in_the_middle_of_a_task(tmp_path: Path, bundle: Path):
    restart = os.environ.get(RESTART)
    if not restart:
        pytest.skip(f"set {RESTART} to a command that kills the engine and starts it again")
    async with opened_dagger(tmp_path / "scratch") as sandbox:
        assert (await sandbox.check()).available
        log = Log()
        running = asyncio.create_task(sandbox.run(task(bundle, SLEEP), log))
        await log.saw("up")
        # penstock: ignore[command-injection] -- whoever runs the test wrote the command
        killer = await asyncio.create_subprocess_shell(
            restart, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(WAIT_S):
            assert await killer.wait() == 0
            assert (await running).reason is ExitReason.LOST
        assert output(await finished(sandbox, task(bundle, "give(2)"))) == 2


@pytest.mark.parametrize("engine", ["unix:///no/such/engine.sock", "tcp://127.0.0.1:9"])
async def test_an_engine_that_is_not_there_is_told_at_once(tmp_path: Path, engine: str):
    async with asyncio.timeout(10), opened_dagger(tmp_path / "s", engine=engine) as sandbox:
        health = await sandbox.check()
    assert not health.available
    assert engine in (health.obstacle or "")
    assert "PENSTOCK_DAGGER_ENGINE" in (health.mend or "")


async def test_a_program_that_is_no_cli_is_told(tmp_path: Path):
    sandbox = DaggerSandbox(tmp_path / "s", cli=Path("/bin/false"), engine=dagger_engine())
    async with asyncio.timeout(WAIT_S):
        health = await sandbox.check()
        await sandbox.close()
    assert "without a session" in (health.obstacle or "")


# --- its tasks ----------------------------------------------------------------------------------


async def test_a_cancelled_task_is_dead_within_two_seconds(sandbox: DaggerSandbox, bundle: Path):
    loop = asyncio.get_running_loop()
    beats: list[float] = []

    async def beat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            beats.append(loop.time())
        writer.close()

    server = await asyncio.start_server(beat, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = (
        "\nimport socket, subprocess\n"
        "there = socket.socket(socket.AF_UNIX); there.connect(os.environ['PENSTOCK_EGRESS_SOCKET'])"
        f"\nthere.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n'); there.recv(999)\n"
        "signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
        "while True:\n there.sendall(b'.'); time.sleep(0.05)"
    )
    spec = replace(task(bundle, code), egress=(EgressRule("127.0.0.1", port),))
    log = Log()
    running = asyncio.create_task(sandbox.run(spec, log))
    await log.saw("up")
    begun = loop.time()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    ended = loop.time()
    server.close()
    assert beats
    assert beats[-1] - begun < CANCEL_S
    assert ended - begun < CANCEL_S


async def test_ten_at_once(sandbox: DaggerSandbox, bundle: Path):
    tasks = [task(bundle, f"time.sleep(0.2); give({number})") for number in range(10)]
    results = await asyncio.gather(*(finished(sandbox, spec) for spec in tasks))
    assert [output(result) for result in results] == list(range(10))


async def test_secrets_reach_the_agent_and_nothing_else(sandbox: DaggerSandbox, bundle: Path):
    secret = f"canary-{uuid4().hex}"
    code = (
        "\nsecret = os.environ['TOKEN']\nseen = []\n"
        "for pid in os.listdir('/proc'):\n"
        "  if pid.isdigit() and int(pid) != os.getpid():\n"
        "    for name in ('environ', 'cmdline'):\n"
        "      try: seen.append(secret in open(f'/proc/{pid}/{name}').read())\n"
        "      except OSError: pass\n"
        "give([len(secret), any(seen)])"
    )
    spec = replace(task(bundle, code), secrets={"TOKEN": secret})
    assert output(await finished(sandbox, spec)) == [len(secret), False]


async def test_a_private_folder_is_readable_to_its_agent(sandbox: DaggerSandbox, tmp_path: Path):
    bundle = tmp_path / "private"
    bundle.mkdir(mode=0o700)
    (bundle / "told.txt").write_text("told")
    (bundle / "told.txt").chmod(0o600)
    code = (
        "told = open('/penstock/agent/told.txt').read()\n"
        "try: open('/penstock/agent/told.txt', 'w')\nexcept OSError: told += ', kept'\ngive(told)"
    )
    assert output(await finished(sandbox, task(bundle, code))) == "told, kept"


async def test_a_changed_agent_is_brought_again(sandbox: DaggerSandbox, bundle: Path):
    code = "give(open('/penstock/agent/version.txt').read())"
    for version in ("1", "two"):
        (bundle / "version.txt").write_text(version)
        assert output(await finished(sandbox, task(bundle, code))) == version


async def test_a_workspace_comes_back_as_the_agent_left_it(
    sandbox: DaggerSandbox, bundle: Path, tmp_path: Path
):
    place = tmp_path / "space here"
    (place / "deep").mkdir(parents=True)
    for name in ("kept.txt", "gone.txt", "deep/old.sh"):
        (place / name).write_text(name)
    (place / "deep/old.sh").chmod(0o755)
    code = (
        "os.chdir('/penstock/space'); os.unlink('gone.txt'); os.symlink('/etc/passwd', 'link')\n"
        "open('deep/new.txt', 'w').write('new'); os.chmod('deep/new.txt', 0o640)"
    )
    mounts = (Mount(place, "/penstock/space", writable=True),)
    result = await finished(sandbox, replace(task(bundle, code), mounts=mounts))
    assert result.reason is ExitReason.EXITED
    found = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    assert found == ["deep", "deep/new.txt", "deep/old.sh", "kept.txt", "link"]
    assert str((place / "link").readlink()) == "/etc/passwd"
    assert stat.S_IMODE((place / "deep/old.sh").stat().st_mode) == 0o755
    assert (place / "deep/new.txt").stat().st_uid == os.geteuid()


async def test_what_another_mount_covers_is_not_brought(
    sandbox: DaggerSandbox, bundle: Path, tmp_path: Path
):
    place, empty = tmp_path / "place", tmp_path / "empty"
    (place / "hidden").mkdir(parents=True)
    (place / "hidden/credential").write_text("never seen")
    (place / "shown.txt").write_text("shown")
    empty.mkdir()
    code = "give([sorted(os.listdir('/penstock/space')), os.listdir('/penstock/space/hidden')])"
    mounts = (Mount(place, "/penstock/space"), Mount(empty, "/penstock/space/hidden"))
    result = await finished(sandbox, replace(task(bundle, code), mounts=mounts))
    assert output(result) == [["hidden", "shown.txt"], []]


async def test_a_workspace_cannot_grow_without_end(
    sandbox: DaggerSandbox, bundle: Path, tmp_path: Path
):
    place = tmp_path / "place"
    place.mkdir()
    code = (
        "\nfor n in range(64):\n"
        " open(f'/penstock/space/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.05)"
    )
    mounts = (Mount(place, "/penstock/space", writable=True),)
    result = await finished(sandbox, replace(task(bundle, code), mounts=mounts))
    assert (result.reason, result.exit_code) == (ExitReason.OUTPUT_TOO_LARGE, 137)


# --- images -------------------------------------------------------------------------------------


READ_MARK = (
    "import os; print(open('/etc/mark').read(), os.environ.get('OF_THE_IMAGE'), "
    "os.getuid() > 0, os.path.exists('/usr'))"
)


async def test_an_image_needs_neither_python_nor_a_libc(sandbox: DaggerSandbox, bundle: Path):
    small_root(bundle / "root")
    archive(bundle)
    expected = {
        "rootfs:root": "small None True False",
        "oci-archive:image.tar": "small yes True False",
    }
    for image, line in expected.items():
        log = Log()
        command = (*trial_command()[:-1], READ_MARK)
        spec = SandboxSpec("t", bundle, command, b"{}", LIMITS, image=image)
        result = await finished(sandbox, spec, log)
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), (
            image,
            result,
            log.lines,
        )
        assert log.text("stdout") == line


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("rootfs:missing", "missing"),
        ("oci-archive:nothing.tar", "nothing.tar"),
        ("registry.invalid/no/such@sha256:" + "0" * 64, "registry.invalid"),
        ("UPPER/case", "UPPER"),
    ],
)
async def test_an_image_that_cannot_be_had_fails_its_task_alone(
    sandbox: DaggerSandbox, bundle: Path, image: str, said: str
):
    spec = SandboxSpec("t", bundle, ("true",), b"{}", LIMITS, image=image)
    result = await finished(sandbox, spec)
    assert result.reason is ExitReason.START_FAILED
    assert output(await finished(sandbox, task(bundle, "give(1)"))) == 1


# --- memory -------------------------------------------------------------------------------------


async def test_an_equal_task_is_answered_from_memory(sandbox: DaggerSandbox, bundle: Path):
    (bundle / "mark.txt").write_text(uuid4().hex)
    code = "print('said'); give([open('/penstock/agent/mark.txt').read(), time.time_ns()])"
    memo = f"sha256:{uuid4().hex}"
    spec = replace(task(bundle, code), memo=memo)
    first_log, second_log = Log(), Log()
    first = output(await finished(sandbox, spec, first_log))
    again = replace(spec, task_id="task-2", limits=replace(LIMITS, wall_s=LIMITS.wall_s - 1))
    assert output(await finished(sandbox, again, second_log)) == first
    assert first_log.text("stdout") == second_log.text("stdout") == "said"
    fresh = output(await finished(sandbox, replace(spec, memo=None)))
    assert fresh != first
    (bundle / "mark.txt").write_text(uuid4().hex)
    assert output(await finished(sandbox, spec)) not in (first, fresh)


async def test_a_failure_is_not_remembered(sandbox: DaggerSandbox, bundle: Path):
    spec = replace(task(bundle, "print(time.time_ns()); sys.exit(3)"), memo=f"sha256:{uuid4().hex}")
    logs = [Log(), Log()]
    for log in logs:
        result = await finished(sandbox, spec, log)
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 3)
    assert logs[0].text("stdout") != logs[1].text("stdout")


async def test_a_memorable_task_ends_in_time(sandbox: DaggerSandbox, bundle: Path):
    limits = replace(LIMITS, wall_s=1)
    spec = replace(task(bundle, "time.sleep(600)"), memo=f"sha256:{uuid4().hex}", limits=limits)
    assert (await finished(sandbox, spec)).reason is ExitReason.TIMEOUT
