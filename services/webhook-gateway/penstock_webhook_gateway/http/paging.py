"""Lists: newest first, filtered, a page at a time."""

import base64
from collections.abc import Sequence

from aiohttp import web

from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.context import doors
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.kinds import View

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
SORT_KEY_MAX = 2**63 - 1


async def page_of(
    request: web.Request, kind: View, tenant: str, state_name: str, group_name: str
) -> tuple[Sequence[ViewRow], str | None]:
    """Give a page and the cursor of the next one.

    Raises:
        Problem: 400: limit or cursor is not valid.
    """
    limit = _limit(request.query.get("limit", str(LIMIT_DEFAULT)))
    rows = await doors(request).reader.page(
        kind,
        tenant,
        state=request.query.get(state_name) or None,
        group=request.query.get(group_name) or None,
        before=_cursor(request.query.get("before", "")),
        limit=limit,
    )
    if len(rows) < limit:
        return rows, None
    last = f"{rows[-1].sort_key} {rows[-1].id}"
    return rows, base64.urlsafe_b64encode(last.encode()).decode()


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise Problem(400, "malformed", f"limit: a number from 1 to {LIMIT_MAX}")
    return int(text)


def _cursor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    try:
        key, _, row_id = base64.urlsafe_b64decode(text.encode()).decode().partition(" ")
        before = int(key), row_id
    except ValueError:  # not base64, not UTF-8, or no number
        before = -1, ""
    if not 0 <= before[0] <= SORT_KEY_MAX or "\x00" in before[1]:
        raise Problem(400, "malformed", "before: give `next` of the page before")
    return before
