"""Following a run until it ends: a live tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.live import Live

from penstock_cli.client import Api, Json, ServerEvent
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.progressing import following
from penstock_cli.run_picture import RunPicture, blank_picture_of, event_line
from penstock_cli.terminal import out

REFRESH_PER_S = 8
RESUMES_MAX = 20  # in a row without an event between them
RESUME_AFTER_S = 0.5

Pause = Callable[[float], Awaitable[None]]
OnEvent = Callable[[RunPicture, ServerEvent], Awaitable[None]]


async def events_of(
    api: Api, run_id: str, pause: Pause = asyncio.sleep
) -> AsyncIterator[ServerEvent]:
    """Give a run's events from the first to the last; resumes after a lost connection.

    Raises:
        CliFault: nothing answers for a while, or the run is unknown.
    """
    last, failures = "", 0
    while True:
        try:
            async with api.stream("runs", run_id, "events", last_id=last) as events:
                async for event in events:
                    if event.kind == "end":
                        return
                    last, failures = event.id or last, 0
                    yield event
        except CliFault as fault:
            if fault.code not in (ExitCode.UNREACHABLE, ExitCode.TIMED_OUT):
                raise
            failures += 1
            if failures > RESUMES_MAX:
                raise
        await pause(RESUME_AFTER_S)


async def watch(
    api: Api,
    document: Json,
    *,
    console: Console = out,
    within_s: float | None = None,
    on_event: OnEvent | None = None,
    pause: Pause = asyncio.sleep,
) -> RunPicture:
    """Show a run until it ends, and give its last picture.

    Args:
        api: the gateway.
        document: the run as `GET /api/runs/{id}` gave it.
        console: where to draw.
        within_s: bound of the wait, seconds.
        on_event: told of each event after it was taken in; drawing stops at a gate meanwhile.
        pause: waits so many seconds before a lost connection is made again.

    Raises:
        CliFault: the bound was over, or the gateway was lost.
    """
    picture = blank_picture_of(document)
    follow = _live if console.is_terminal else _lines
    try:
        async with asyncio.timeout(within_s), following(api, picture, console):
            await follow(events_of(api, picture.run_id, pause), picture, console, on_event)
    except TimeoutError:
        raise CliFault(
            f"run {picture.run_id} has not ended within {within_s:g} s; it goes on",
            f"penstock runs watch {picture.run_id}",
            ExitCode.TIMED_OUT,
        ) from None
    return picture


async def _lines(
    events: AsyncIterator[ServerEvent],
    picture: RunPicture,
    console: Console,
    on_event: OnEvent | None,
) -> None:
    async for event in events:
        picture.apply(event.kind, event.data)
        console.print(event_line(event.kind, event.data))
        if on_event is not None:
            await on_event(picture, event)


class _Drawing:
    """Draws the tree anew at each refresh, so that running times move."""

    def __init__(self, picture: RunPicture) -> None:
        self._picture = picture

    def __rich__(self) -> Any:  # noqa: ANN401 - whatever rich can draw
        return self._picture.tree(time.time_ns() // 1000)


async def _live(
    events: AsyncIterator[ServerEvent],
    picture: RunPicture,
    console: Console,
    on_event: OnEvent | None,
) -> None:
    while not picture.ended:
        opened = await _live_until_gate(events, picture, console, on_event)
        if opened is None:
            return
        if on_event is not None:
            await on_event(picture, opened)


async def _live_until_gate(
    events: AsyncIterator[ServerEvent],
    picture: RunPicture,
    console: Console,
    on_event: OnEvent | None,
) -> ServerEvent | None:
    """Draw until somebody is to be asked, and give that event; None: there are no more.

    What is printed while somebody is asked stays on the screen: a new drawing follows below it.
    """
    with Live(_Drawing(picture), console=console, refresh_per_second=REFRESH_PER_S):
        async for event in events:
            picture.apply(event.kind, event.data)
            if on_event is not None and event.kind == "gate_opened":
                return event
            if on_event is not None:
                await on_event(picture, event)
    return None
