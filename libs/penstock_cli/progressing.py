"""What agents say while they run: how far they are, and what they have so far."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

from rich.console import Console
from rich.text import Text

from penstock_cli.client import Api, Json, ServerEvent
from penstock_cli.faults import CliFault
from penstock_cli.run_picture import RunPicture, progress_of
from penstock_cli.visible import one_line

SAID = frozenset({"progress", "partial"})
OVER = frozenset({"succeeded", "skipped", "failed"})  # what such a node has is in its result
STEP = 0.1  # of the work: a smaller one is worth no line of its own
SHOWN_CHARS = 300  # of a partial result


def take(picture: RunPicture, event: ServerEvent) -> bool:
    """Take in what an agent said of a node that is still at it; False: it is nothing of the kind.

    It belongs to one attempt: what a former one said is passed over.
    """
    node = picture.nodes.get(str(event.data.get("node")))
    said = event.data.get("said")
    if event.kind not in SAID or node is None or not isinstance(said, dict):
        return False
    attempt = int(event.data.get("attempt") or 0)
    if attempt < node.attempt or node.status in OVER:
        return False
    if event.kind == "partial":
        node.partial = cast("Json", said)
    else:
        node.progress = cast("Json", said)
    return True


def partial_text(said: Json) -> Text:
    """Give what an agent has so far as one line."""
    text = json.dumps(said, ensure_ascii=False)
    more = f"... ({len(text)} characters: --json)" if len(text) > SHOWN_CHARS else ""
    return one_line(f"so far (unchecked): {text[:SHOWN_CHARS]}{more}", "yellow")


async def look(api: Api, picture: RunPicture) -> None:
    """Take in what agents have said until now; nothing where nobody knows any more."""
    with suppress(CliFault):
        async with api.stream("runs", picture.run_id, "logs") as events:
            async for event in events:
                if event.kind == "end":
                    return
                _ = take(picture, event)


@asynccontextmanager
async def following(api: Api, picture: RunPicture, console: Console) -> AsyncGenerator[None]:
    """Keep a picture's progress up to date while the block runs; without a word if that fails."""
    if console.quiet:
        yield
        return
    task = asyncio.create_task(_follow(api, picture, console))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _follow(api: Api, picture: RunPicture, console: Console) -> None:
    told: dict[str, tuple[str, float]] = {}
    with suppress(CliFault):  # the run's own events say whether the gateway is there
        async with api.stream("runs", picture.run_id, "logs", query={"follow": "1"}) as events:
            async for event in events:
                if event.kind == "end":
                    return
                if take(picture, event) and not console.is_terminal:
                    _line(event, told, console)


def _line(event: ServerEvent, told: dict[str, tuple[str, float]], console: Console) -> None:
    """Print what is new enough, where no picture is drawn."""
    name, said = str(event.data["node"]), cast("Json", event.data["said"])
    if event.kind != "progress":
        return
    text, fraction = str(said.get("text")), float(said.get("fraction") or 0.0)
    last = told.get(name)
    if last is not None and last[0] == text and fraction - last[1] < STEP:
        return
    told[name] = (text, fraction)
    line = Text(f"{'':<13}{'running':<10}progress  {name}  ", "dim")
    console.print(line.append_text(one_line(progress_of(said), "cyan")), soft_wrap=True)
