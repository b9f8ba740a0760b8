"""Artifacts of tasks: what an agent is given of earlier ones, and what it leaves.

Both travel through the object store, piece by piece. What is missing there is asked for, and
somebody puts it back; what an agent leaves is named in the result only once it is there.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import to_json

from penstock_contracts.artifact.v1 import (
    JSON_MEDIA_TYPE,
    OUTPUT_NAME,
    Artifact,
    TaskArtifact,
    output_of,
)
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.values import MICROSECONDS, Failure, JsonObject
from penstock_executor.intake import Delivery
from penstock_executor.landing import Temporaries
from penstock_executor.leavings import Leaving, LeavingRefused, blocks, collect
from penstock_executor.messages import Messages
from penstock_executor.outbox import Outbox
from penstock_executor.outcomes import Ending, failed
from penstock_executor.preparing import Prepared
from penstock_executor.specs import document_of
from penstock_runtime.artifacts import digest_text
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import (
    CHUNK_BYTES,
    ArtifactGone,
    ArtifactKey,
    ArtifactMissing,
    ArtifactShelf,
    ArtifactTooLarge,
)
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import INSIDE_ROOT, Mount, SandboxSpec
from penstock_runtime.telemetry import metrics as m

INPUTS_PLACE = f"{INSIDE_ROOT}/inputs"
RESTORE_S = 120.0  # that a missing artifact may take to be put back
ASK_AGAIN_S = 20.0  # the question may have been lost
LOOK_FIRST_S = 0.1
LOOK_CAP_S = 2.0
SEND_TRIES = 5  # of one artifact; the object store may be about to be made again
SEND_AGAIN_FIRST_S = 0.5
TRANSFER_S = 1_800.0  # for all artifacts of a task, each way

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Room:
    """Private folders of one task, made when they are needed."""

    temporaries: Temporaries
    folder: Path | None = None
    left: Path | None = field(default=None)

    def place(self, name: str, mode: int = 0o700) -> Path:
        """Make a folder."""
        if self.folder is None:
            self.folder = self.temporaries.task_folder()
        place = self.folder / name
        place.mkdir(mode=mode)
        return place


@dataclass(frozen=True, slots=True)
class Ways:
    """How this executor deals with artifacts.

    Attributes:
        leaves: agents have a folder that they may leave artifacts in.
        mounts: agents see what they are given at a place of its own, not at the host's.
        pool: for the metrics.
    """

    leaves: bool = False
    mounts: bool = True
    pool: str = "default"


class Artifacts:
    """Gives agents artifacts, and takes theirs."""

    def __init__(
        self,
        shelf: ArtifactShelf,
        temporaries: Temporaries,
        outbox: Outbox,
        messages: Messages,
        clock: Clock,
        metrics: m.Metrics,
        ways: Ways,
    ) -> None:
        self._shelf = shelf
        self._temporaries = temporaries
        self._outbox = outbox
        self._messages = messages
        self._clock = clock
        self._metrics = metrics
        self._ways = ways

    @asynccontextmanager
    async def room(self) -> AsyncGenerator[Room]:
        """Give a task its folders, which are removed whatever becomes of it."""
        room = Room(self._temporaries)
        try:
            yield room
        finally:
            if room.folder is not None:
                await self._temporaries.remove(room.folder)

    # --- what an agent is given -----------------------------------------------------------------

    async def given(self, delivery: Delivery, prepared: Prepared, room: Room) -> Prepared | Failure:
        """Fetch what the task's input refers to, and put paths in the place of the references."""
        wanted = prepared.task.artifacts
        if not wanted:
            return prepared
        folder = room.place("inputs", 0o755)
        folder.chmod(0o755)  # whatever the umask: the agent may have another uid
        try:
            async with asyncio.timeout(self._left_s(delivery)):
                for one in wanted:
                    await self._fetch(delivery, one, _file_of(folder, one))
        except ArtifactMissing as missing:
            self._metrics.add(m.ARTIFACTS_FETCHED, self._ways.pool, "missing")
            again = not isinstance(missing, ArtifactGone)
            return failed(Code.ARTIFACT_LOST, str(missing), retryable=again)
        except (TransientFault, TimeoutError) as fault:
            self._metrics.add(m.ARTIFACTS_FETCHED, self._ways.pool, "failed")
            what = str(fault) or "it took too long"
            message = f"an artifact of the input could not be fetched: {what}"
            return failed(Code.ARTIFACT_LOST, message, retryable=True)
        return self._shown(prepared, folder)

    async def _fetch(self, delivery: Delivery, wanted: TaskArtifact, path: Path) -> None:
        key = ArtifactKey(delivery.tenant, wanted.artifact.digest)
        loop = asyncio.get_running_loop()
        until, ask_at, wait_s = loop.time() + RESTORE_S, loop.time(), LOOK_FIRST_S
        while True:
            try:
                await self._download(key, wanted.artifact, path)
            except ArtifactGone:
                raise ArtifactGone(f"{_called(wanted)} was pruned: its time was over") from None
            except ArtifactMissing:
                if loop.time() >= until:
                    raise ArtifactMissing(f"{_called(wanted)} was not put back in time") from None
                if loop.time() >= ask_at:
                    _log.info("artifact asked for", extra={"digest": key.digest})
                    _ = await self._outbox.send(self._messages.restore(delivery, key.digest))
                    ask_at = loop.time() + ASK_AGAIN_S
            else:
                self._metrics.add(m.ARTIFACTS_FETCHED, self._ways.pool, "fetched")
                return
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, LOOK_CAP_S)

    async def _download(self, key: ArtifactKey, artifact: Artifact, path: Path) -> None:
        left = artifact.size
        with path.open("wb") as file:
            os.fchmod(file.fileno(), 0o644)  # the agent may have another uid
            async for chunk in self._shelf.read(key):
                left -= len(chunk)
                if left < 0:
                    raise ArtifactMissing(f"{key.digest} is larger than its result said")
                _ = await asyncio.to_thread(file.write, chunk)

    def _shown(self, prepared: Prepared, folder: Path) -> Prepared:
        root = INPUTS_PLACE if self._ways.mounts else str(folder)
        places = {
            one.artifact.reference: f"{root}/{one.node}/{one.artifact.name}"
            for one in prepared.task.artifacts
        }
        shown = prepared.shown
        seen = {name: _with_places(value, places) for name, value in shown.input.items()}
        mounts = (*shown.mounts, Mount(folder, INPUTS_PLACE)) if self._ways.mounts else shown.mounts
        shown = replace(shown, input=seen, mounts=mounts)
        spec = replace(prepared.spec, input=document_of(prepared.task, seen), mounts=mounts)
        return replace(prepared, shown=shown, spec=spec)

    # --- what an agent leaves -------------------------------------------------------------------

    def with_folder(self, spec: SandboxSpec, room: Room) -> SandboxSpec:
        """Give the agent a folder to leave artifacts in.

        None where results are remembered: what was left would be missing the second time.
        """
        if not self._ways.leaves or not spec.limits.artifacts_bytes or spec.memo is not None:
            return spec
        room.left = room.place("left")
        return replace(spec, artifacts=room.left)

    async def taken(
        self, delivery: Delivery, prepared: Prepared, room: Room, ending: Ending, raw_bytes: int
    ) -> Ending:
        """Send what the agent left, and an output that is too large; say so in the ending.

        Args:
            delivery: the task.
            prepared: its secrets and bounds.
            room: where the agent could leave something.
            ending: the agent's own; nothing is taken from one that failed.
            raw_bytes: an upper bound of the output's size; only beyond the limit is it measured.
        """
        nothing = room.left is None and raw_bytes <= MAX_INLINE_BYTES
        if nothing or ending.error is not None:
            return ending
        try:
            async with asyncio.timeout(self._left_s(delivery)):
                return await self._sent(delivery.tenant, prepared, room, ending, raw_bytes)
        except (LeavingRefused, ArtifactTooLarge) as refusal:
            self._metrics.add(m.ARTIFACTS_LEFT, self._ways.pool, "refused")
            error = failed(Code.ARTIFACT_REFUSED, prepared.redact.text(str(refusal)))
        except (TransientFault, TimeoutError, ArtifactMissing) as fault:
            self._metrics.add(m.ARTIFACTS_LEFT, self._ways.pool, "failed")
            what = str(fault) or "it took too long"
            message = f"the agent ended well, and what it left could not be stored: {what}"
            error = failed(Code.ARTIFACT_LOST, message, retryable=True)
        return Ending(None, error, ending.usage)

    async def _sent(
        self, tenant: str, prepared: Prepared, room: Room, ending: Ending, raw_bytes: int
    ) -> Ending:
        found: list[Leaving] = []
        if room.left is not None:
            bound = prepared.spec.limits.artifacts_bytes
            scratch = room.place("remade")
            found = await asyncio.to_thread(collect, room.left, bound, prepared.redact, scratch)
        for leaving in found:
            await self._upload(tenant, leaving.artifact, partial(_pieces_of, leaving.path))
        artifacts = [leaving.artifact for leaving in found]
        output = ending.output
        if output is not None and raw_bytes > MAX_INLINE_BYTES:
            output = await self._shortened(tenant, output, artifacts)
        return replace(ending, output=output, artifacts=tuple(artifacts))

    async def _shortened(
        self, tenant: str, output: JsonObject, artifacts: list[Artifact]
    ) -> JsonObject:
        """Let an artifact stand for an output that is too large."""
        whole = to_json(output)
        if len(whole) <= MAX_INLINE_BYTES:
            return output
        if any(artifact.name == OUTPUT_NAME for artifact in artifacts):
            raise LeavingRefused(
                f"the output has {len(whole)} bytes and would become the artifact "
                f"'{OUTPUT_NAME}', but the agent has left one of that name"
            )
        artifact = Artifact(
            name=OUTPUT_NAME,
            digest=digest_text(hashlib.sha256(whole).digest()),
            size=len(whole),
            media_type=JSON_MEDIA_TYPE,
        )
        await self._upload(tenant, artifact, partial(_pieces_in, whole))
        artifacts.append(artifact)
        return output_of(artifact)

    async def _upload(
        self, tenant: str, artifact: Artifact, pieces: Callable[[], AsyncGenerator[bytes]]
    ) -> None:
        wait_s = SEND_AGAIN_FIRST_S
        for left in reversed(range(SEND_TRIES)):
            try:
                _ = await self._shelf.put(ArtifactKey(tenant, artifact.digest), pieces())
                break
            except TransientFault:
                if not left:
                    raise
            await self._clock.sleep(wait_s)
            wait_s *= 2
        self._metrics.add(m.ARTIFACTS_LEFT, self._ways.pool, "sent")
        self._metrics.add(m.ARTIFACTS_LEFT_BYTES, self._ways.pool, amount=artifact.size)
        extra = {"name_of_artifact": artifact.name, "bytes": artifact.size}
        _log.info("artifact sent", extra=extra)

    def _left_s(self, delivery: Delivery) -> float:
        left_us = delivery.task.ends_by_us - self._clock.now_us()
        return min(max(left_us, 0) / MICROSECONDS, TRANSFER_S)


def _file_of(folder: Path, wanted: TaskArtifact) -> Path:
    """Make the folders above an artifact's file: readable to an agent of another uid."""
    path = folder / wanted.node / wanted.artifact.name
    for parent in reversed(path.relative_to(folder).parents):
        place = folder / parent
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
    return path


def _called(wanted: TaskArtifact) -> str:
    return f"artifact {wanted.artifact.name!r} of {wanted.node!r}"


def _with_places(value: JsonValue, places: dict[str, str]) -> JsonValue:
    match value:
        case str():
            return places.get(value, value)
        case list():
            return [_with_places(item, places) for item in value]
        case dict():
            return {name: _with_places(item, places) for name, item in value.items()}
        case _:
            return value


async def _pieces_of(path: Path) -> AsyncGenerator[bytes]:
    reading = blocks(path, CHUNK_BYTES)
    while (block := await asyncio.to_thread(next, reading, b"")) != b"":
        yield block


async def _pieces_in(whole: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(whole), CHUNK_BYTES):
        yield whole[start : start + CHUNK_BYTES]
