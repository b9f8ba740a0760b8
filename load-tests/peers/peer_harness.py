"""What is used of the harness that runs every engine: its module `common`."""

import importlib
import sys
from typing import Any, Final, Protocol, cast

FOLDER: Final = "PEERS_DIR"  # environment: where a process of its own finds `common`


class Harness(Protocol):
    """The module `common`, as far as it is used here."""

    __file__: str

    def tree(self, pid: int) -> list[int]:
        """Give a process and all that descend from it."""
        ...

    def prio(self, pid: int) -> None:
        """Give a process the priority that all engines get."""
        ...

    async def step_body(self, wid: str, i: int, sleep_ms: float, log: bool) -> dict[str, Any]:
        """Do the step that every engine runs."""
        ...


def harness() -> Harness:
    """Give the harness; its folder is on the path of the process that imports this engine."""
    return cast("Harness", importlib.import_module("common"))


def harness_at(folder: str) -> Harness:
    """Give the harness that lies in `folder`, and write nothing there."""
    sys.path.append(folder)
    sys.dont_write_bytecode = True
    return harness()
