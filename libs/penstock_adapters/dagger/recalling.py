"""Tasks that the engine may answer from its cache."""

from __future__ import annotations

import asyncio
import base64
import binascii
import marshal
from collections.abc import Callable, Sequence
from typing import Any

from penstock_adapters.dagger.channel import Line, frames
from penstock_adapters.dagger.documents import Step, chained, innermost
from penstock_adapters.dagger.driving import Prints, concluded
from penstock_adapters.dagger.faults import Refused
from penstock_adapters.dagger.session import Session
from penstock_runtime.ports.sandbox import ExitReason, Limits, LogLine, SandboxResult

NO_END_S = 86_400.0
"""The order's own time limit: that of a task differs from one to the next, the order must not."""

ORDER, RECORD = "/penstock/.order", "/penstock/.record"


async def recall(
    session: Session,
    steps: Sequence[Step],
    command: Sequence[str],
    order: dict[str, Any],
    limits: Limits,
    on_log: Callable[[LogLine], None],
) -> SandboxResult | None:
    """Run a task in such a way that an equal one is not run again.

    Its lines come at the end, all at once. Only what ended well is remembered; None: it did not,
    and has to be run again to be told about.

    Raises:
        EngineAway: There was no answer.
    """
    text = base64.b64encode(marshal.dumps(order)).decode("ascii")
    told: list[Step] = [
        *steps,
        ("withNewFile", {"path": ORDER, "contents": text, "permissions": 0o600}),
        ("withExec", {"args": list(command), "noInit": True}),
        ("file", {"path": RECORD}),
    ]
    try:
        async with asyncio.timeout(limits.wall_s):
            answer = await session.ask(chained(told, "contents"), None)
        record = base64.b64decode(innermost(answer, told)["contents"], validate=True)
    except TimeoutError:
        detail = f"ran longer than {limits.wall_s:g} s"
        return SandboxResult(
            ExitReason.TIMEOUT, None, None, None, detail, limits.wall_s, 0.0, 0, log_truncated=False
        )
    except (Refused, binascii.Error):
        return None
    prints = Prints(limits, on_log, lambda: None)
    line = Line(limits.output_bytes, prints.take)
    for kind, payload in frames(record):
        line.take(kind, payload)
    end = line.ended.result() if line.ended.done() else None
    last_line = prints.end()
    if end is None:
        return None
    truncated = prints.budget.truncated
    return concluded(end, None, limits, wall_s=0.0, truncated=truncated, last_line=last_line)
