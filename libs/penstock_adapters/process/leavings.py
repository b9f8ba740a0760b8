"""What an agent writes to the host's own disk, held to its bounds while it writes.

A folder of the host has no size of its own, and one in memory would make gigabytes cost memory. So
the kernel bounds each file (RLIMIT_FSIZE), and the supervisor looks at the whole every
`WATCH_INTERVAL_S`, files that were deleted and are still open included.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from penstock_adapters.process.supervision import Ending, Stop
from penstock_runtime.ports.sandbox import ARTIFACT_ENTRIES_MAX, ExitReason, SandboxSpec

BLOCK_BYTES = 512  # what `st_blocks` counts, whatever the file system's own blocks are
_MB = 1024 * 1024


class Leavings:
    """The folder for artifacts of one task, and its output.

    Args:
        spec: the task; without a folder for artifacts nothing is looked at.
        output: the file that receives its output.
        pids: gives the task's processes while they live.
    """

    def __init__(self, spec: SandboxSpec, output: Path, pids: Callable[[], Iterable[int]]) -> None:
        self._folder = spec.artifacts
        self._limits = spec.limits
        self._output = output
        self._pids = pids

    def excess(self) -> Stop | None:
        """Say what goes beyond its bounds; None: nothing."""
        if self._folder is None:
            return None
        output_bytes = max(self._limits.disk_bytes, self._limits.output_bytes)
        try:
            if _size(self._output) > output_bytes:
                return Stop(ExitReason.OUTPUT_TOO_LARGE, "the output grew without end")
            total, entries = _measured(self._folder)
            total += _hidden(self._pids(), os.stat(self._folder).st_dev)
        except OSError as error:
            return _beyond(f"its artifacts cannot be looked at: {error.strerror}")
        if total > self._limits.artifacts_bytes:
            return _beyond(f"over {self._limits.artifacts_bytes // _MB} MB of artifacts")
        if entries > ARTIFACT_ENTRIES_MAX:
            return _beyond(f"over {ARTIFACT_ENTRIES_MAX} files and folders of artifacts")
        return None

    def judged(self, ending: Ending) -> Ending:
        """Have a last look, once no process is left."""
        excess = None if ending.stop is not None else self.excess()
        return ending if excess is None else replace(ending, stop=excess)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:  # not written yet
        return 0


def _beyond(detail: str) -> Stop:
    return Stop(ExitReason.ARTIFACTS_TOO_LARGE, detail)


def _measured(folder: Path) -> tuple[int, int]:
    """Give bytes and entries below a folder; a sparse file counts as large as it says."""
    total = entries = 0
    folders = [str(folder)]
    while folders and entries <= ARTIFACT_ENTRIES_MAX:
        try:
            listed = os.scandir(folders.pop())
        except FileNotFoundError:
            continue  # gone since it was listed
        with listed as found:
            for entry in found:
                entries += 1
                if entries > ARTIFACT_ENTRIES_MAX:
                    break
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(state.st_mode):
                    folders.append(entry.path)
                else:
                    total += max(state.st_size, state.st_blocks * BLOCK_BYTES)
    return total, entries


def _hidden(pids: Iterable[int], device: int) -> int:
    """Give the bytes of deleted files on a device that processes hold open."""
    sizes: dict[int, int] = {}
    for pid in pids:
        try:
            opened = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in opened:
            try:
                state = os.stat(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if state.st_nlink == 0 and state.st_dev == device and stat.S_ISREG(state.st_mode):
                sizes[state.st_ino] = state.st_blocks * BLOCK_BYTES
    return sum(sizes.values())
