"""The copier: has artifacts of results safe, puts back what is missed, prunes what is old.

It works in memory only. A question that is lost with its process is outstanding in the run, and
asked again; so nothing here waits for room, and whatever fails is simply dropped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.ids import derive
from penstock_contracts.run.v1 import ConfirmArtifacts
from penstock_contracts.values import MICROSECONDS
from penstock_core.effects import BringBack, SendCommand, StoreArtifacts
from penstock_runtime.faults import PenstockFault, TransientFault
from penstock_runtime.ports.artifacts import (
    ArtifactGone,
    ArtifactKey,
    ArtifactMissing,
    ArtifactShelf,
    ArtifactVault,
)
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.telemetry.metrics import (
    ARTIFACT_KEEP_SECONDS,
    ARTIFACT_QUEUE,
    ARTIFACTS_BROUGHT_BACK,
    ARTIFACTS_KEPT,
    ARTIFACTS_KEPT_BYTES,
    ARTIFACTS_PRUNED,
    Metrics,
)

WORKERS = 2  # transfers at once; each holds a few pieces in memory
QUESTIONS_MAX = 2_000  # that wait
TRIES = 4  # of one question, before it has to come again
RETRY_FIRST_S = 0.5
TRANSFER_S = 1_800.0  # for all artifacts of one question
PRUNE_EVERY_S = 600.0
PRUNE_MOST = 100  # in one go; the next one follows at once while there are as many
DAY_S = 86_400.0

_SENT = (Published.DONE, Published.ALREADY_THERE)
_log = logging.getLogger(__name__)


class ArtifactKeeper:
    """Implements `Keeper` over a cache and a vault.

    Args:
        cache: the object store, into which executors put what agents leave.
        vault: what is durable.
        publisher: for the answers.
        render: makes a message of an answer.
        retention_days: after which an artifact that no result has named again is pruned.
        prepare: sees to it that the object store exists; called when something fails.
    """

    def __init__(
        self,
        cache: ArtifactShelf,
        vault: ArtifactVault,
        publisher: Publisher,
        render: Callable[[SendCommand], Outgoing],
        clock: Clock,
        metrics: Metrics,
        retention_days: float,
        prepare: Callable[[], Awaitable[None]],
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._publisher = publisher
        self._render = render
        self._clock = clock
        self._metrics = metrics
        self._retention_s = retention_days * DAY_S
        self._prepare = prepare
        self._questions: asyncio.Queue[StoreArtifacts | BringBack] = asyncio.Queue(QUESTIONS_MAX)
        self._known: set[str] = set()
        metrics.set(ARTIFACT_QUEUE, 0)

    def ask(self, question: StoreArtifacts | BringBack) -> bool:
        """Take a question; one that waits or is in work already is taken for the same."""
        name = _name(question)
        if name in self._known:
            return True
        try:
            self._questions.put_nowait(question)
        except asyncio.QueueFull:
            return False
        self._known.add(name)
        self._metrics.set(ARTIFACT_QUEUE, len(self._known))
        return True

    async def run(self) -> None:
        """Answer questions and prune, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(self._work())
            tasks.create_task(self._prune())

    async def _work(self) -> None:
        while True:
            question = await self._questions.get()
            try:
                async with asyncio.timeout(TRANSFER_S):
                    await self._patiently(question)
            except (PenstockFault, TimeoutError) as fault:
                _log.warning(
                    "artifacts are not carried; it will be asked again",
                    extra={"question": type(question).__name__, "reason": str(fault)},
                )
            except Exception:  # noqa: BLE001 - a task boundary: a defect ends this question only
                _log.exception("a question about artifacts failed")
            finally:
                self._known.discard(_name(question))
                self._metrics.set(ARTIFACT_QUEUE, len(self._known))

    async def _patiently(self, question: StoreArtifacts | BringBack) -> None:
        wait_s = RETRY_FIRST_S
        for left in reversed(range(TRIES)):
            try:
                match question:
                    case StoreArtifacts():
                        await self._store(question)
                    case BringBack():
                        await self._bring_back(question)
            except TransientFault:
                if not left:
                    raise
                await self._clock.sleep(wait_s)
                wait_s *= 2
                with suppress(TransientFault):  # the next try says whether it was of use
                    await self._prepare()
            else:
                return

    # --- keeping ------------------------------------------------------------------------------

    async def _store(self, question: StoreArtifacts) -> None:
        begun_us, lost = self._clock.now_us(), ""
        tenant = question.answer.tenant
        for artifact in question.artifacts:
            lost = await self._keep(ArtifactKey(tenant, artifact.digest), artifact)
            if lost:
                _log.warning("an artifact is lost", extra={"reason": lost})
                break
        outcome = (await self._publisher.publish([self._render(_told(question.answer, lost))]))[0]
        if outcome not in _SENT:
            raise TransientFault(f"the answer was not published: {outcome.value}")
        spent_s = (self._clock.now_us() - begun_us) / MICROSECONDS
        self._metrics.observe(ARTIFACT_KEEP_SECONDS, spent_s)

    async def _keep(self, key: ArtifactKey, artifact: Artifact) -> str:
        """Have one safe; gives why it is lost, or ''."""
        if await self._vault.renew(key):
            self._metrics.add(ARTIFACTS_KEPT, "known")
            return ""
        try:
            size = await self._vault.put(key, self._cache.read(key))
        except ArtifactMissing as missing:
            self._metrics.add(ARTIFACTS_KEPT, "lost")
            return f"artifact {artifact.name!r} was lost before it was durable: {missing}"
        self._metrics.add(ARTIFACTS_KEPT, "stored")
        self._metrics.add(ARTIFACTS_KEPT_BYTES, amount=size)
        return ""

    # --- bringing back ------------------------------------------------------------------------

    async def _bring_back(self, question: BringBack) -> None:
        key = ArtifactKey(question.tenant, question.digest)
        try:
            _ = await self._cache.put(key, self._vault.read(key))
            outcome = "restored"
        except ArtifactGone:
            await self._cache.bury(key)
            outcome = "gone"
        except ArtifactMissing as missing:
            outcome = "missing"
            _log.error("an artifact that was durable is not there", extra={"reason": str(missing)})
        self._metrics.add(ARTIFACTS_BROUGHT_BACK, outcome)
        _log.info("artifact brought back", extra={"digest": key.digest, "outcome": outcome})

    # --- retention ----------------------------------------------------------------------------

    async def _prune(self) -> None:
        while True:
            pruned = 0
            try:
                pruned = await self._prune_once()
            except PenstockFault as fault:
                _log.warning("nothing is pruned now", extra={"reason": str(fault)})
            if pruned < PRUNE_MOST:
                await self._clock.sleep(PRUNE_EVERY_S)

    async def _prune_once(self) -> int:
        pruned = await self._vault.prune(self._retention_s, PRUNE_MOST)
        for key in pruned:
            await self._cache.bury(key)
        if pruned:
            self._metrics.add(ARTIFACTS_PRUNED, amount=len(pruned))
            _log.info("artifacts pruned", extra={"artifacts": len(pruned)})
        return len(pruned)


def _name(question: StoreArtifacts | BringBack) -> str:
    if isinstance(question, StoreArtifacts):
        return question.subject
    return f"{question.tenant}/{question.digest}"


def _told(answer: SendCommand, lost: str) -> SendCommand:
    """Fill in what was lost; it is another message then."""
    if not lost or not isinstance(answer.body, ConfirmArtifacts):
        return answer
    body = answer.body.model_copy(update={"lost": lost[:1024]})
    return replace(answer, body=body, key=derive("confirm_artifacts", answer.key, "lost"))
