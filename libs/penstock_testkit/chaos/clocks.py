"""Clocks of single processes, set wrong from outside.

A small library is compiled once and preloaded into each service. It answers every question for the
time of day with the machine's own answer and an offset, which it reads from a file mapped into
memory: so a running process's clock jumps the moment the offset is written. What measures
intervals (the monotonic clock) is left alone, as it is when somebody sets a machine's clock.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

COMPILE_TIMEOUT_S = 60.0
OFFSET = struct.Struct("=q")

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset_us;
static int (*next_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("CHAOS_CLOCK");
    next_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (path == NULL) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *seen = mmap(NULL, sizeof(long long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (seen != MAP_FAILED) offset_us = seen;
}

static long long now_us(void) {
    struct timespec at;
    next_clock(CLOCK_REALTIME, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000 + (offset_us ? *offset_us : 0);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    if (next_clock == NULL) attach();
    int failed = next_clock(which, at);
    if (failed || offset_us == NULL || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE))
        return failed;
    long long ns = at->tv_sec * 1000000000LL + at->tv_nsec + *offset_us * 1000;
    at->tv_sec = ns / 1000000000LL;
    at->tv_nsec = ns % 1000000000LL;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    if (next_clock == NULL) attach();
    long long us = now_us();
    at->tv_sec = us / 1000000LL;
    at->tv_usec = us % 1000000LL;
    return 0;
}

time_t time(time_t *at) {
    if (next_clock == NULL) attach();
    time_t seconds = now_us() / 1000000LL;
    if (at != NULL) *at = seconds;
    return seconds;
}
"""


class Clocks:
    """A wrong clock for each of the named processes, right until it is set.

    Attributes:
        folder: holds the offset of each.
        names: whose they are.
        library: to be preloaded, or None where none can be made.
        obstacle: why not.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        """Make the files and, where there is a compiler, the library."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.names = tuple(names)
        self.library: Path | None = None
        self.obstacle = ""
        for name in self.names:
            (folder / name).write_bytes(OFFSET.pack(0))
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            self.obstacle = "no C compiler is here: cc, gcc or clang"
        else:
            self._compile(compiler)

    def _compile(self, compiler: str) -> None:
        source, library = self.folder / "clock.c", self.folder / "clock.so"
        source.write_text(_SOURCE)
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
        )
        if done.returncode == 0:
            self.library = library
        else:
            self.obstacle = f"the clock cannot be compiled: {done.stderr.strip()[:300]}"

    def set(self, name: str, offset_s: float) -> None:
        """Let a process's clock differ by `offset_s` seconds from now on."""
        with (self.folder / name).open("r+b") as file:
            file.write(OFFSET.pack(round(offset_s * 1_000_000)))
