"""The services of this installation, found by their entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import cast

GROUP = "penstock.services"
IN_ORDER = ("scheduler", "executor", "approval", "webhook-gateway")


def known_services() -> dict[str, EntryPoint]:
    """Give the entry point of each installed service by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def run_known_service(name: str) -> int | None:
    """Run a service until it ends, and give its exit code; None: there is no such service."""
    point = known_services().get(name)
    if point is None:
        return None
    main = cast("Callable[[], int | None]", point.load())
    return main() or 0


def part_of_service(name: str, part: str) -> ModuleType | None:
    """Give a module beside a service's entry point; None: there is no such service here.

    The command line knows no service's code. What it uses of one it finds as it finds services.
    """
    point = known_services().get(name)
    if point is None:
        return None
    return import_module(f"{point.module.rpartition('.')[0]}.{part}")


def service_command(name: str) -> tuple[str, ...]:
    """Give the command line that serves `name` in a process of its own."""
    return (sys.executable, "-P", "-m", "penstock_cli", "serve", name)


def stack_commands() -> dict[str, tuple[str, ...]]:
    """Give the command lines of the four services of a one-machine stack."""
    return {name: service_command(name) for name in IN_ORDER}
