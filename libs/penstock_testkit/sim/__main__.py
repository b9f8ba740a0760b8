"""`make sim`: many seeds on all processors, or one seed told at length."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from penstock_testkit.sim.running import Report, run_seed

CHUNK_SEEDS = 5
SHOWN_MAX = 20  # violations of one seed
BAR_CELLS = 30
_LOG_FIELDS = ("partition", "reason", "stream", "aggregate", "epoch", "task", "code")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 if a promise was not kept."""
    asked = _parser().parse_args(argv)
    if asked.seed is not None:
        return _tell_one(asked.seed, verbose=asked.verbose)
    return _run_many(range(asked.first, asked.first + asked.seeds), asked.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m penstock_testkit.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="one seed, with all that befell it")
    parser.add_argument("--verbose", action="store_true", help="of one seed, every log line")
    return parser


def _tell_one(seed: int, *, verbose: bool) -> int:
    if verbose:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_Lines())
        logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    else:
        logging.disable(logging.CRITICAL)
    report = run_seed(seed)
    print(f"seed {seed}: {report.runs} runs, {report.events} events, {report.effects} effects")
    for line in report.done:
        print(f"  {line}")
    for alert in report.alerts:
        print(f"  alert: {alert}")
    _tell(report)
    print(f"  digest {report.digest}")
    return 1 if report.violations else 0


def _run_many(seeds: Sequence[int], jobs: int) -> int:
    began = time.monotonic()
    bar = _Bar(len(seeds))
    failed: list[int] = []
    checks: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for report in _reports(seeds, jobs):
        counted.update(runs=report.runs, events=report.events, effects=report.effects)
        counted["faults"] += len(report.done)
        if report.violations:
            bar.wipe()
            failed.append(report.seed)
            checks.update({violation.check for violation in report.violations})
            _tell(report)
        bar.advance()
    bar.wipe()
    spent_s = time.monotonic() - began
    print(
        f"{len(seeds)} seeds in {spent_s:.1f} s: {counted['runs']} runs, {counted['events']} "
        f"events, {counted['effects']} effects, {counted['faults']} faults; "
        f"{len(failed)} seeds with violations"
        + (f" ({', '.join(f'{name} {n}' for name, n in checks.most_common())})" if checks else "")
    )
    return 1 if failed else 0


def _reports(seeds: Sequence[int], jobs: int) -> Iterator[Report]:
    if jobs == 1:
        _quiet()
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs, initializer=_quiet) as pool:
        for reports in pool.map(_run_chunk, _chunks(seeds)):
            yield from reports


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def _run_chunk(seeds: Sequence[int]) -> list[Report]:
    return [run_seed(seed) for seed in seeds]


def _chunks(seeds: Iterable[int]) -> Iterator[Sequence[int]]:
    left = iter(seeds)
    while chunk := tuple(islice(left, CHUNK_SEEDS)):
        yield chunk


def _tell(report: Report) -> None:
    for violation in report.violations[:SHOWN_MAX]:
        print(f"  {violation.check}: {violation.where}: {violation.detail}")
    if report.violations:
        print(f"  again: {report.line}", flush=True)


class _Bar:
    """How far it has got, on a terminal."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._done = 0
        self._shown = sys.stderr.isatty()

    def advance(self) -> None:
        self._done += 1
        if self._shown:
            cells = BAR_CELLS * self._done // self._whole
            line = f"\r[{'#' * cells:<{BAR_CELLS}}] {self._done}/{self._whole} seeds"
            print(line, end="", file=sys.stderr, flush=True)

    def wipe(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class _Lines(logging.Formatter):
    """Log lines with the little that tells them apart."""

    def format(self, record: logging.LogRecord) -> str:
        told = {name: value for name in _LOG_FIELDS if (value := getattr(record, name, None))}
        return f"{record.name.rpartition('.')[2]}: {record.getMessage()} {told or ''}"


if __name__ == "__main__":
    sys.exit(main())
