"""What is limited, and by whom."""

from __future__ import annotations

from typing import NamedTuple


class Limited(NamedTuple):
    """One limit: what holds it under bubblewrap and on a Dagger engine."""

    what: str
    bubblewrap: str
    dagger: str


LIMITED = (
    Limited("memory", "control group, else a watchdog that looks ten times a second and counts "
     "scratch folders in; then what the kernel holds elsewhere (pipes, files without a name) is "
     "bounded by open files and their size alone",
     "a watchdog that looks ten times a second; the engine's own group bounds all tasks together"),
    Limited("processes and threads", "control group, else the kernel by the agent's namespace; "
     "else, under root, 256 for all agents together and a watchdog for each",
     "the kernel, by a uid that no other task has"),
    Limited("CPU time", "the kernel for each process, a watchdog for all", "the same"),
    Limited("size of a file, open files", "the kernel, for each process", "the same"),
    Limited("scratch folders", "size of a file system in memory", "the same"),
    Limited("empty files in scratch folders", "memory: by the control group, else 1 KiB each",
     "the same, 1 KiB each"),
    Limited("growth of a workspace", "the executor looks at the repository's clone",
     "the first process looks once a second, and at the end"),
    Limited("time", "the executor, and with it every process of the task",
     "the executor, and the first process by itself when it hears nothing"),
)  # fmt: skip
