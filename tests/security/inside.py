"""Types of the fixtures that run a few lines of Python in bubblewrap; see `conftest.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock_runtime.ports.sandbox import SandboxSpec

BuildSpec = Callable[..., SandboxSpec]
"""Builds the task that runs some code with some arguments."""

Inside = Callable[..., Awaitable[object]]
"""Runs it, and gives what it answers."""
