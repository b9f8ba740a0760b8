"""What executors take from agents beside their output, and what they give them of earlier tasks."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json

from penstock_contracts.agent.v1 import AgentLimits
from penstock_contracts.artifact.v1 import ARTIFACTS_MAX, Artifact, TaskArtifact
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ReportResult, RestoreArtifact
from penstock_executor.workspaces import Workspaces
from penstock_runtime.ports.artifacts import ArtifactKey
from penstock_runtime.ports.sandbox import ExitReason
from penstock_runtime.telemetry.metrics import ARTIFACTS_FETCHED, ARTIFACTS_LEFT
from penstock_testkit.conformance.artifacts import key_of, pieces, read_all
from penstock_testkit.fakes.executor import POOL, PROBE, ExecutorWorld, once

SECRET = "open-sesame-4711"
WITH_SECRET = PROBE.model_copy(update={"secrets": ("door",)})
REPORT = b"12 findings\n" * 1_000
SMALL = PROBE.model_copy(update={"limits": AgentLimits(artifacts_mb=1)})


def world_in(folder: Path, **options: object) -> ExecutorWorld:
    return ExecutorWorld(scratch=folder, leaves=True, **options)  # type: ignore[arg-type]


def nothing_in(folder: Path) -> bool:
    return not list(folder.iterdir())


async def result_of(world: ExecutorWorld, **leaves: bytes) -> ReportResult:
    world.sandbox.leaves = {
        name.replace("__", "/").replace("_", "."): leaves[name] for name in leaves
    }
    return await world.result()


async def test_what_is_left_is_sent_and_named(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        result = await result_of(world, report_txt=REPORT, deep__er__x_bin=b"\0\1")
        assert result.error is None
        assert [(one.name, one.size, one.media_type) for one in result.artifacts] == [
            ("deep/er/x.bin", 2, "application/octet-stream"),
            ("report.txt", len(REPORT), "text/plain"),
        ]
        for artifact, content in zip(result.artifacts, (b"\0\1", REPORT), strict=True):
            key = ArtifactKey("default", artifact.digest)
            assert await read_all(world.artifacts, key) == content
        assert world.metrics.of(ARTIFACTS_LEFT, POOL, "sent") == 2
    assert nothing_in(tmp_path)


async def test_nothing_left_is_nothing_named(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        result = await world.result()
        assert result.artifacts == ()
        assert world.artifacts.content == {}
    assert nothing_in(tmp_path)


async def test_nothing_is_taken_from_an_agent_that_failed(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        world.sandbox.ends(ExitReason.EXITED, 10, b"{}")
        result = await result_of(world, report_txt=REPORT)
        assert result.artifacts == ()
        assert world.artifacts.content == {}


@pytest.mark.parametrize(
    "manifest",
    [
        PROBE.model_copy(update={"memoise": True}),
        PROBE.model_copy(update={"limits": AgentLimits(artifacts_mb=0)}),
    ],
)
async def test_who_may_leave_nothing_has_no_folder(tmp_path: Path, manifest: object) -> None:
    async with world_in(tmp_path, manifest=manifest) as world:
        await world.result()
        assert world.sandbox.ran[0].artifacts is None


async def test_bounds_come_from_the_manifest(tmp_path: Path) -> None:
    async with world_in(tmp_path, manifest=SMALL) as world:
        result = await result_of(world, a_bin=bytes(600_000), b_bin=bytes(600_000))
        assert world.sandbox.ran[0].limits.artifacts_bytes == 1024 * 1024
        assert result.error is not None
        assert result.error.code == Code.ARTIFACT_REFUSED
        assert "artifacts_mb" in result.error.message
        assert world.artifacts.content == {}


def plant_link(folder: Path) -> None:
    (folder / "shadow").symlink_to("/etc/shadow")


def plant_hard_link(folder: Path) -> None:
    (folder / "one").write_bytes(b"1")
    (folder / "two").hardlink_to(folder / "one")


def plant_folder_link(folder: Path) -> None:
    (folder / "etc").symlink_to("/etc")


def plant_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def plant_odd_name(folder: Path) -> None:
    (folder / "a b\n\x1b[2J").write_bytes(b"1")


def plant_many(folder: Path) -> None:
    for number in range(ARTIFACTS_MAX + 1):
        (folder / str(number)).write_bytes(b"1")


def plant_folders(folder: Path) -> None:
    for number in range(1_001):
        (folder / str(number)).mkdir()


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (plant_link, "'shadow' is a link or no plain file"),
        (plant_hard_link, "is a link or no plain file"),
        (plant_folder_link, "'etc' is a link or no plain file"),
        (plant_pipe, "'pipe' is a link or no plain file"),
        (plant_odd_name, r"artifact 'a b\n\x1b[2J': a name has letters"),
        (plant_many, "201 artifacts were left; 200 are allowed"),
        (plant_folders, "over 1000 files and folders"),
    ],
)
async def test_what_cannot_be_taken_is_refused(
    tmp_path: Path, plant: Callable[[Path], object], said: str
) -> None:
    async with world_in(tmp_path) as world:
        world.sandbox.plant = plant
        result = await world.result()
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (Code.ARTIFACT_REFUSED, False)
        assert said in result.error.message
        assert world.metrics.of(ARTIFACTS_LEFT, POOL, "refused") == 1
    assert nothing_in(tmp_path)


def lock(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "report.txt").write_bytes(REPORT)
    (folder / "deep" / "report.txt").chmod(0)
    (folder / "deep").chmod(0)


async def test_what_the_agent_has_locked_is_taken(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        world.sandbox.plant = lock
        result = await world.result()
        assert [one.name for one in result.artifacts] == ["deep/report.txt"]


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1024 * 1024 - 8, 3 * 1024 * 1024 - 1])
async def test_secrets_are_taken_out_of_texts(tmp_path: Path, before: int) -> None:
    async with world_in(tmp_path, manifest=WITH_SECRET, secrets={"door": SECRET}) as world:
        filler = ("ä" * before)[:before]
        hidden = base64.b64encode(SECRET.encode()).decode()
        text = f"{filler}{SECRET}\r\n{hidden} end"
        result = await result_of(world, log_txt=text.encode(), plain_txt=REPORT)
        assert result.error is None
        key = ArtifactKey("default", result.artifacts[0].digest)
        kept = (await read_all(world.artifacts, key)).decode()
        assert kept == f"{filler}[redacted]\r\n[redacted] end"
        assert result.artifacts[0].size == len(kept.encode())
        assert result.artifacts[1].digest == key_of(REPORT).digest


@pytest.mark.parametrize("content", [b"\0" + SECRET.encode(), b"\xff\xfe" + SECRET.encode()])
async def test_a_secret_that_cannot_be_taken_out_stays_here(tmp_path: Path, content: bytes) -> None:
    async with world_in(tmp_path, manifest=WITH_SECRET, secrets={"door": SECRET}) as world:
        result = await result_of(world, a_txt=b"fine", core_bin=content)
        assert result.error is not None
        assert result.error.code == Code.ARTIFACT_REFUSED
        assert "'core.bin' holds the value of a secret" in result.error.message
        assert SECRET not in result.error.message
        assert world.artifacts.content == {}


async def test_a_secret_in_a_name_is_not_even_told(tmp_path: Path) -> None:
    async with world_in(tmp_path, manifest=WITH_SECRET, secrets={"door": SECRET}) as world:
        world.sandbox.leaves = {SECRET: b"1"}
        result = await world.result()
        assert result.error is not None
        assert SECRET not in result.error.message


# --- outputs -------------------------------------------------------------------------------------


async def test_a_large_output_becomes_an_artifact() -> None:
    async with ExecutorWorld() as world:
        output = {"text": "x" * 70_000}
        world.sandbox.ends(exit_code=0, output=to_json(output))
        result = await world.result()
        (artifact,) = result.artifacts
        assert artifact.name == "output.json"
        assert result.output == {
            "artifact": artifact.reference,
            "name": "output.json",
            "size": artifact.size,
            "media_type": "application/json",
        }
        key = ArtifactKey("default", artifact.digest)
        assert from_json(await read_all(world.artifacts, key)) == output


async def test_a_large_output_is_redacted_and_judged_first() -> None:
    async with ExecutorWorld(WITH_SECRET, secrets={"door": SECRET}) as world:
        world.sandbox.ends(exit_code=0, output=to_json({"a": SECRET, "text": "x" * 70_000}))
        result = await world.result()
        key = ArtifactKey("default", result.artifacts[0].digest)
        assert SECRET.encode() not in await read_all(world.artifacts, key)


async def test_an_artifact_of_that_name_stands_in_its_way(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        world.sandbox.ends(exit_code=0, output=to_json({"text": "x" * 70_000}))
        result = await result_of(world, output_json=b"{}")
        assert result.error is not None
        assert "has left one of that name" in result.error.message


@pytest.mark.parametrize("manifest", [PROBE, once()])
async def test_an_object_store_that_is_away_is_told(tmp_path: Path, manifest: object) -> None:
    async with world_in(tmp_path, manifest=manifest) as world:
        world.artifacts.up = False
        world.sandbox.leaves = {"report.txt": REPORT}
        task = world.task()
        item = world.deliver(task)
        if manifest is not PROBE:
            await world.until(lambda: world.data_of("run.claim_task.v1"))
            (claim,) = world.data_of("run.claim_task.v1")
            await world.answer_claim(task, str(claim["nonce"]), granted=True)
        while "ack" not in item.fates:
            await world.clock.advance(0.5)
        (result,) = world.results()
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (Code.ARTIFACT_LOST, True)


async def test_an_object_store_that_comes_back_is_sent_to_again(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        world.artifacts.up = False
        world.sandbox.leaves = {"report.txt": REPORT}
        item = world.deliver()
        await world.clock.advance(2)
        world.artifacts.up = True
        while "ack" not in item.fates:
            await world.clock.advance(0.5)
        assert world.results()[0].error is None


# --- inputs --------------------------------------------------------------------------------------


def given(content: bytes, name: str = "deep/report.txt", node: str = "scan") -> TaskArtifact:
    digest = key_of(content).digest
    return TaskArtifact(node=node, artifact=Artifact(name=name, digest=digest, size=len(content)))


@pytest.mark.parametrize("mounts", [True, False])
async def test_agents_are_shown_files_where_artifacts_are_referred_to(
    tmp_path: Path, mounts: bool
) -> None:
    seen: list[bytes] = []
    one, two = given(REPORT), given(b"2", "two.bin", "other")
    async with world_in(tmp_path, workspaces=Workspaces((), rewrite=mounts)) as world:
        for content in (REPORT, b"2"):
            await world.artifacts.put(key_of(content), pieces(content))

        def look(_folder: Path) -> None:
            spec = world.sandbox.ran[-1]
            folder = spec.mounts[0].source if mounts else None
            for path in from_json(spec.input)["files"]:
                place = Path(path)
                if folder is not None:
                    place = folder / place.relative_to("/penstock/inputs")
                seen.append(place.read_bytes())
                assert place.stat().st_mode & 0o777 == 0o644
                assert place.parent.stat().st_mode & 0o777 == 0o755

        world.sandbox.plant = look
        references = [one.artifact.reference, two.artifact.reference]
        task = world.task(input={"files": references, "text": "as it is"}, artifacts=(one, two))
        result = await world.result(task)
        assert result.error is None
        spec = world.sandbox.ran[0]
        if mounts:
            assert from_json(spec.input) == {
                "files": [
                    "/penstock/inputs/scan/deep/report.txt",
                    "/penstock/inputs/other/two.bin",
                ],
                "text": "as it is",
            }
            assert [(one.target, one.writable) for one in spec.mounts] == [
                ("/penstock/inputs", False)
            ]
        assert seen == [REPORT, b"2"]
        assert world.metrics.of(ARTIFACTS_FETCHED, POOL, "fetched") == 2
    assert nothing_in(tmp_path)


async def test_a_missing_one_is_asked_for_and_awaited(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        one = given(REPORT)
        item = world.deliver(world.task(input={"file": one.artifact.reference}, artifacts=(one,)))
        await world.until(lambda: world.data_of(RestoreArtifact.TYPE))
        (asked,) = world.data_of(RestoreArtifact.TYPE)
        assert asked["digest"] == one.artifact.digest
        await world.artifacts.put(key_of(REPORT), pieces(REPORT))
        while not item.fates:
            await world.clock.advance(0.5)
        assert await world.settled(item) == "ack"
        assert world.results()[0].error is None


async def test_one_that_was_pruned_is_not_awaited(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        await world.artifacts.bury(key_of(REPORT))
        one = given(REPORT)
        result = await world.result(
            world.task(input={"file": one.artifact.reference}, artifacts=(one,))
        )
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (Code.ARTIFACT_LOST, False)
        assert "'deep/report.txt' of 'scan' was pruned" in result.error.message
        assert world.sandbox.ran == []


async def test_one_that_is_larger_than_it_says_is_not_fetched(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        await world.artifacts.put(key_of(REPORT), pieces(REPORT))
        one = given(REPORT)
        lying = one.model_copy(update={"artifact": one.artifact.model_copy(update={"size": 5})})
        item = world.deliver(world.task(input={}, artifacts=(lying,)))
        await world.until(lambda: world.data_of(RestoreArtifact.TYPE))
        assert world.sandbox.ran == []
        assert item.fates == []
