"""Where a test can hold an instance up: between its own code and everything outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from penstock_runtime.faults import TransientFault

P = TypeVar("P")


class Gate:
    """Holds calls of the named operations until they are let through.

    Attributes:
        waiting: names of the operations that are held up at this moment.
    """

    def __init__(self) -> None:
        """Let everything through."""
        self.waiting: list[str] = []
        self._held: frozenset[str] | None = frozenset()
        self._refused: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def hold(self, *operations: str) -> None:
        """Hold up these operations; without names all of them, as a paused process would."""
        self._held = frozenset(operations) if operations else None

    def refuse(self, *operations: str) -> None:
        """Let these operations fail, as when a server does not answer."""
        self._refused = frozenset(operations)

    def let_go(self) -> None:
        """Let everything through again."""
        self._held = self._refused = frozenset()
        self._changed.set()
        self._changed = asyncio.Event()

    async def passed(self, operation: str) -> None:
        """Wait as long as the operation is held up.

        Raises:
            TransientFault: it is to fail.
        """
        if operation in self._refused:
            raise TransientFault(f"{operation}: no answer")
        while self._held is None or operation in self._held:
            self.waiting.append(operation)
            try:
                await self._changed.wait()
            finally:
                self.waiting.remove(operation)


class _Through:
    """Every call goes through the gate."""

    def __init__(self, inner: object, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation = getattr(self._inner, name)

        async def call(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 - of any port
            await self._gate.passed(name)
            return await operation(*args, **kwargs)

        return call


def through(port: P, gate: Gate) -> P:
    """Give `port` with all its operations behind `gate`."""
    return cast("P", _Through(port, gate))
