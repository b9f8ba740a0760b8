"""The host's side of agents on an engine, with an engine that is played; see `fake_engine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from penstock_adapters.egress import EgressDecision
from penstock_runtime.ports.sandbox import EgressRule, ExitReason, Mount
from penstock_testkit.sandbox_probes import LIMITS, Log, processes_marked
from tests.integration.fake_world import SLEEP, World, output, played, task

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

DECISIONS: list[tuple[str, EgressDecision]] = []
PATIENT = f"signal.signal(15, signal.SIG_IGN); {SLEEP}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    def tell(name: str, decision: EgressDecision) -> None:
        DECISIONS.append((name, decision))

    async with played(tmp_path_factory.mktemp("played"), on_egress=tell) as world:
        health = await world.sandbox.check()
        assert health.available, health.obstacle
        yield world


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


async def test_a_task_has_its_input_and_gives_its_output(world: World, bundle: Path):
    result = await world.ran(task(bundle, "give(given())"))
    assert output(result) == {"given": 1}
    assert (result.exit_code, result.cpu_s, result.max_rss_bytes) == (0, 0.01, 2**20)
    await world.sandbox.settled()


async def test_exit_codes_and_signals_are_told(world: World, bundle: Path):
    exited = await world.ran(task(bundle, "sys.exit(7)"))
    assert (exited.reason, exited.exit_code) == (ExitReason.EXITED, 7)
    ended = await world.ran(task(bundle, "os.kill(os.getpid(), 11)"))
    assert (ended.reason, ended.exit_code, ended.signal) == (ExitReason.SIGNALLED, 139, 11)
    missing = await world.ran(replace(task(bundle, ""), command=("no-such-program",)))
    assert missing.exit_code == 127


async def test_lines_come_while_the_agent_runs(world: World, bundle: Path):
    log = Log()
    running = asyncio.create_task(world.ran(task(bundle, SLEEP), log))
    await log.saw("up")
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_agent_that_runs_too_long_is_asked_first(world: World, bundle: Path):
    limits = replace(LIMITS, wall_s=2)
    polite = f"signal.signal(15, lambda *_: (give('tidied'), sys.exit(4))); {SLEEP}"
    specs = [replace(task(bundle, code), limits=limits) for code in (polite, PATIENT)]
    results = await asyncio.gather(*map(world.ran, specs))
    assert [result.reason for result in results] == [ExitReason.TIMEOUT, ExitReason.TIMEOUT]
    assert [result.exit_code for result in results] == [4, 137]
    assert [result.output for result in results] == [b'"tidied"', None]


async def test_a_cancelled_agent_is_dead(world: World, bundle: Path):
    log, mark = Log(), f"mark-{uuid4().hex}"
    running = asyncio.create_task(world.ran(task(bundle, PATIENT, mark), log))
    await log.saw("up")
    assert processes_marked(mark)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_marked(mark) == []


async def test_an_agent_that_prints_without_end_is_ended(world: World, bundle: Path):
    log = Log()
    spec = task(bundle, "\nwhile True: print('y' * 4000)")
    result = await world.ran(replace(spec, limits=replace(LIMITS, log_bytes=4096)), log)
    assert result.reason is ExitReason.LOG_LIMIT
    assert result.log_truncated
    assert len(log.text("stdout")) <= 4096


async def test_an_output_that_is_too_large_is_not_taken(world: World, bundle: Path):
    spec = task(bundle, "give('x' * 2000)")
    result = await world.ran(replace(spec, limits=replace(LIMITS, output_bytes=1024)))
    assert (result.reason, result.output) == (ExitReason.OUTPUT_TOO_LARGE, None)


@pytest.mark.parametrize(
    ("letter", "reason", "said"),
    [
        ("M", ExitReason.MEMORY, "192 MiB"),
        ("C", ExitReason.TIMEOUT, "CPU"),
        ("W", ExitReason.TIMEOUT, "longer than 15 s"),
        ("G", ExitReason.OUTPUT_TOO_LARGE, "workspace grew"),
    ],
)
async def test_what_ended_an_agent_is_told(
    world: World, bundle: Path, letter: str, reason: ExitReason, said: str
):
    with world.fault("letter", text=letter):
        result = await world.ran(task(bundle, "sys.exit(1)"))
    assert result.reason is reason
    assert said in result.detail


async def test_secrets_are_variables_and_in_no_order(world: World, bundle: Path):
    spec = replace(task(bundle, "give(os.environ['TOKEN'])"), secrets={"TOKEN": "hush, hush"})
    assert output(await world.ran(spec)) == "hush, hush"
    telling = [line for line in world.requests() if "hush, hush" in line]
    assert len(telling) == 1
    assert "setSecret" in telling[0]


async def test_a_listed_destination_is_reached_through_the_proxy(world: World, bundle: Path):
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = (
        "\nimport socket\nthere = socket.socket(socket.AF_UNIX); there.settimeout(10)\n"
        "there.connect(os.environ['PENSTOCK_EGRESS_SOCKET'])\n"
        "name = f'127.0.0.1:{sys.argv[1]}'\n"
        "there.sendall(f'GET http://{name}/ HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n'.encode())\n"
        "data = b''\nwhile piece := there.recv(999): data += piece\n"
        "give(data.decode())"
    )
    spec = replace(task(bundle, code, str(port)), egress=(EgressRule("127.0.0.1", port),))
    async with server:
        assert str(output(await world.ran(spec))).endswith("hello")
        other = replace(spec, egress=(EgressRule("127.0.0.1", 9),))
        assert "403" in str(output(await world.ran(other)))
    assert [(name, decision.allowed) for name, decision in DECISIONS] == [
        ("task-1", True),
        ("task-1", False),
    ]


async def test_workspaces_are_brought_and_taken_back(world: World, bundle: Path, tmp_path: Path):
    kept, space, single = tmp_path / "kept", tmp_path / "space", tmp_path / "one.txt"
    for folder in (kept, space):
        folder.mkdir(mode=0o700)
        (folder / "a.txt").write_text(folder.name)
    single.write_text("single")
    code = (
        "places = '/penstock/kept/a.txt', '/penstock/space/a.txt', '/penstock/one'\n"
        "open('/penstock/space/new.txt', 'w').write('new')\n"
        "give([open(place).read() for place in places])"
    )
    mounts = (
        Mount(kept, "/penstock/kept"),
        Mount(space, "/penstock/space", writable=True),
        Mount(single, "/penstock/one"),
        Mount(kept, "/penstock/space/hidden"),
    )
    before = len(world.requests())
    assert output(await world.ran(replace(task(bundle, code), mounts=mounts))) == [
        "kept",
        "space",
        "single",
    ]
    assert (space / "new.txt").read_text() == "new"
    asked = world.requests()[before:]
    assert any(f'"{space}"' in line and '"hidden/*"' in line for line in asked)
    assert "export(" in asked[-1]
    assert f'"{space}"' in asked[-1]
    run = next(line for line in asked if "withExec" in line)
    assert run.count("readOnly: true") == 3  # the agent's folder, and two workspaces


async def test_a_changed_agent_alone_is_brought_again(world: World, bundle: Path):
    code = "give(open('/penstock/agent/version.txt').read())"
    before = len(world.requests())
    for version in ("1", "1", "two"):
        (bundle / "version.txt").write_text(version)
        (bundle / "version.txt").touch()
        assert output(await world.ran(task(bundle, code))) == version
    again = len(world.requests())
    assert output(await world.ran(task(bundle, code))) == "two"
    brought = [f'"{bundle}"' in line for line in world.requests()]
    assert any(brought[before:again])
    assert not any(brought[again:])


async def test_a_private_agent_is_owned_by_its_task(world: World, bundle: Path):
    await asyncio.to_thread(bundle.chmod, 0o700)
    assert output(await world.ran(task(bundle, "give(1)"))) == 1
    run = [line for line in world.requests() if "withExec" in line][-1]
    assert run.index("owner") < run.index("withUnixSocket")


# --- tasks that are refused ---------------------------------------------------------------------


async def test_a_task_that_cannot_be_asked_for_is_refused(world: World, bundle: Path):
    spec = task(bundle, "give(1)")
    before = len(world.requests())
    for bad, said in (
        (replace(spec, command=()), "command is empty"),
        (replace(spec, image="rootfs:../elsewhere"), "rootfs"),
        (replace(spec, image="UPPER/case"), "lower case"),
    ):
        result = await world.ran(bad)
        assert result.reason is ExitReason.START_FAILED
        assert said in result.detail
    assert world.requests()[before:] == []


@pytest.mark.parametrize("image", ["oci-archive:no.tar", "oci-archive:bad.tar", "rootfs:none"])
async def test_an_image_that_cannot_be_read_fails_its_task_alone(
    world: World, bundle: Path, image: str
):
    (bundle / "bad.tar").write_text("no archive")
    result = await world.ran(replace(task(bundle, "give(1)"), image=image))
    assert result.reason is ExitReason.START_FAILED
    assert image in result.detail
    assert output(await world.ran(task(bundle, "give(1)"))) == 1


async def test_an_image_is_asked_for_once(world: World, bundle: Path):
    (bundle / "root").mkdir()
    before = len(world.requests())
    images = ["rootfs:root", "rootfs:root", f"example.org/a@sha256:{'0' * 64}"]
    specs = [replace(task(bundle, "give(1)"), image=image) for image in images]
    with world.fault("refuse-once"):
        results = await asyncio.gather(*map(world.ran, specs))
    assert [output(result) for result in results] == [1, 1, 1]
    made = [line for line in world.requests()[before:] if "sync: sync" in line]
    assert len(made) == 3, "two images, one of them refused at first"


# --- memory -------------------------------------------------------------------------------------

REMEMBERED = "print('said'); give(time.time_ns())"


async def test_an_equal_task_is_answered_from_memory(world: World, bundle: Path):
    spec = replace(task(bundle, REMEMBERED), memo="sha256:equal")
    logs = [Log(), Log()]
    first = output(await world.ran(spec, logs[0]))
    again = replace(spec, task_id="task-2", limits=replace(LIMITS, wall_s=LIMITS.wall_s - 1))
    assert output(await world.ran(again, logs[1])) == first
    assert [log.text("stdout") for log in logs] == ["said", "said"]
    assert output(await world.ran(replace(spec, memo=None))) != first
    assert output(await world.ran(replace(spec, secrets={"A": "b"}))) != first


async def test_a_failure_is_told_and_not_remembered(world: World, bundle: Path):
    spec = replace(task(bundle, "print(time.time_ns()); sys.exit(3)"), memo="sha256:failure")
    logs = [Log(), Log()]
    for log in logs:
        assert (await world.ran(spec, log)).exit_code == 3
    assert logs[0].text("stdout") != logs[1].text("stdout")


@pytest.mark.parametrize("fault", ["garbled-record", "short-record"])
async def test_a_record_that_cannot_be_read_is_made_again(world: World, bundle: Path, fault: str):
    with world.fault(fault):
        result = await world.ran(replace(task(bundle, REMEMBERED), memo=f"sha256:{fault}"))
    assert isinstance(output(result), int)


async def test_a_memorable_task_ends_in_time(world: World, bundle: Path):
    spec = replace(task(bundle, SLEEP), memo="sha256:late", limits=replace(LIMITS, wall_s=0.5))
    result = await world.ran(spec)
    assert (result.reason, result.exit_code) == (ExitReason.TIMEOUT, None)
    assert output(await world.ran(task(bundle, "give(1)"))) == 1
