"""Many files on several processors.

Each worker is a fork of this process with a pipe; no semaphores or shared memory, which a sandbox
may lack. A worker that dies, or that sits over one file past the deadline, costs its batch and not
the scan.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.checking import FileReport

MAX_WORKERS: Final = 8
BATCH_FILES: Final = 24
BATCH_BYTES: Final = 400_000
POLL_S: Final = 0.25

Check = Callable[[SourceFile], FileReport]
Reports = list[tuple[str, FileReport]]


def processors() -> int:
    """How many this process may use."""
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)))


@dataclass
class _Worker:
    pid: int
    pipe: Connection
    batch: list[SourceFile] = field(default_factory=list[SourceFile])


class Workers:
    """Checks files in forks of this process; `lost` counts files that gave no answer."""

    def __init__(self, check: Check, late: Callable[[], bool], count: int) -> None:
        self._check = check
        self._late = late
        self._count = count
        self._workers: list[_Worker] = []
        self.lost = 0

    def run(self, sources: Iterable[SourceFile]) -> Iterator[tuple[str, FileReport]]:
        """Reports by file name, in no order; files after the deadline are counted as lost."""
        batches = batched(sources)
        try:
            for _ in range(self._count):
                self._workers.append(self._fork())
            for worker in list(self._workers):
                self._feed(worker, batches)
            while any(worker.batch for worker in self._workers):
                yield from self._gather(batches)
            for batch in batches:  # nobody is left to take them
                self.lost += len(batch)
        finally:
            self._end()

    def _gather(self, batches: Iterator[list[SourceFile]]) -> Iterator[tuple[str, FileReport]]:
        busy = {worker.pipe: worker for worker in self._workers if worker.batch}
        for pipe in wait(list(busy), POLL_S):
            worker = busy[pipe]  # type: ignore[index]
            try:
                reports: Reports = worker.pipe.recv()
            except (EOFError, OSError):
                self._lose(worker)
                continue
            yield from reports
            worker.batch = []
            self._feed(worker, batches)
        if self._late():
            for worker in busy.values():
                if worker.batch and not worker.pipe.poll():
                    self._lose(worker)

    def _feed(self, worker: _Worker, batches: Iterator[list[SourceFile]]) -> None:
        for batch in batches:
            if self._late():
                self.lost += len(batch)
                continue
            try:
                worker.pipe.send(batch)
            except (OSError, ValueError):
                self.lost += len(batch)
                self._lose(worker)
                return
            worker.batch = batch
            return

    def _lose(self, worker: _Worker) -> None:
        self.lost += len(worker.batch)
        worker.batch = []
        self._workers.remove(worker)
        _kill(worker)

    def _fork(self) -> _Worker:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for worker in self._workers:
                worker.pipe.close()
            status = 1
            try:
                _serve(theirs, self._check)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        return _Worker(pid, ours)

    def _end(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
            _kill(worker)
        self._workers.clear()


def _kill(worker: _Worker) -> None:
    with contextlib.suppress(OSError):
        os.kill(worker.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(worker.pid, 0)


def _serve(pipe: Connection, check: Check) -> None:
    """The life of a worker: answer batches until nobody asks."""
    while True:
        try:
            batch: list[SourceFile] = pipe.recv()
        except EOFError:
            return
        pipe.send([(source.name, check(source)) for source in batch])


def batched(sources: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    """Files in groups that take a fraction of a second each."""
    batch: list[SourceFile] = []
    size = 0
    for source in sources:
        batch.append(source)
        size += len(source.data)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
