"""Supervises a stack of stand-in services in the foreground: `embedded_supervisor.py HOME`."""

import asyncio
import sys
from pathlib import Path

from penstock_adapters.embedded.detached import supervise
from penstock_adapters.embedded.stack import EmbeddedStack

SERVICE = Path(__file__).with_name("embedded_service.py")
NAMES = ("scheduler", "executor", "approval", "webhook-gateway")


def service_argv(*more: str) -> dict[str, tuple[str, ...]]:
    return {name: (sys.executable, str(SERVICE), *more) for name in NAMES}


if __name__ == "__main__":
    asyncio.run(supervise(EmbeddedStack(Path(sys.argv[1]), service_argv())))
