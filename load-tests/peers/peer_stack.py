"""The stack of `penstock up` in a process of its own, with the executor of `peer_executor`.

It ends with the process that has asked for it, whatever that one dies of.
"""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.detached import supervise
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_cli.services import stack_commands

HOME: Final = "PENSTOCK_HOME"
OWNER: Final = "PEERS_OWNER"  # environment: process that the stack belongs to
WORKERS: Final = "PEERS_WORKERS"  # environment: executors
EXECUTOR: Final = "executor"


def executors(count: int) -> list[str]:
    """Name as many executors."""
    return [EXECUTOR, *(f"{EXECUTOR}-{number}" for number in range(2, count + 1))]


def commands(workers: int) -> dict[str, tuple[str, ...]]:
    """Give the command line of each service."""
    program = (sys.executable, str(Path(__file__).with_name("peer_executor.py")))
    return {**stack_commands(), **dict.fromkeys(executors(workers), program)}


async def main() -> None:
    """Keep the stack up until a signal, or until its owner is gone."""
    home, owner = Path(os.environ[HOME]), os.pidfd_open(int(os.environ[OWNER]))
    loop, deserted = asyncio.get_running_loop(), False

    def leave() -> None:
        nonlocal deserted
        deserted = True
        _ = loop.remove_reader(owner)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(owner, leave)
    try:
        await supervise(EmbeddedStack(home, commands(int(os.environ[WORKERS]))))
    finally:
        if deserted:  # else the owner still wants to see it stopped
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
