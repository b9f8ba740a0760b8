"""The gateway's HTTP API: one client, faults as `CliFault`, live streams as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar, cast
from urllib.parse import quote

import aiohttp

from penstock_cli.access import Access
from penstock_cli.faults import CliFault, ExitCode

ANSWER_WITHIN_S = 30.0  # of an ordinary request
CONNECT_WITHIN_S = 5.0
CONTENT_WITHIN_S = 90.0  # of the next bytes: an artifact may have to be put back first
PIECE_BYTES = 256 * 1024
SILENCE_MAX_S = 45.0  # the gateway sends a sign of life at least every 15 s
LINE_MAX_BYTES = 16 * 1024 * 1024  # of a live stream
MAX_TRIGGER_BYTES = 10 * 1024 * 1024  # what the gateway and the bus take

Json = dict[str, Any]
T = TypeVar("T")


class Refused(CliFault):
    """The gateway refused.

    Attributes:
        status: HTTP status.
        kind: the stable code of the refusal.
        problems: faults of a definition, if that is what it is about.
    """

    def __init__(
        self, status: int, kind: str, detail: str, problems: Sequence[Mapping[str, str]] = ()
    ) -> None:
        code, mend = _meaning(status)
        message = f"{detail} [{kind}]" if kind else detail
        super().__init__(message, mend, code)
        self.status = status
        self.kind = kind
        self.problems = tuple(problems)


def _meaning(status: int) -> tuple[ExitCode, str]:
    if status == 404:
        return ExitCode.NOT_FOUND, ""
    if status == 401:
        return ExitCode.DENIED, "give a valid token with --token or PENSTOCK_TOKEN"
    if status == 403:
        return ExitCode.DENIED, "use a token with that role"
    if status == 429:
        return ExitCode.REFUSED, "wait as long as Retry-After says and try again"
    if status == 504:
        return ExitCode.TIMED_OUT, "look at `penstock status`, then repeat the command"
    return ExitCode.REFUSED, ""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a live stream (server-sent events)."""

    kind: str
    data: Json
    id: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way; `size` is what the gateway says of them."""

    size: int | None
    pieces: AsyncIterator[bytes]


class Api(Protocol):
    """What verbs ask of the gateway."""

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read."""
        ...

    async def send(
        self, method: str, *path: str, body: object = None, key: str = ""
    ) -> tuple[int, Json]:
        """Change something; gives the status and the answer."""
        ...

    def stream(
        self, *path: str, query: Mapping[str, str] | None = None, last_id: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[ServerEvent]]:
        """Follow a live stream."""
        ...

    def fetch(self, *path: str) -> AbstractAsyncContextManager[Content]:
        """Read bytes, as many as there are."""
        ...


def path_of(parts: Sequence[str]) -> str:
    """Give the path below the base URL; each part is one segment."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


@dataclass(slots=True)
class HttpApi:
    """Fulfils `Api` on a gateway; use it as a context manager."""

    url: str
    token: str = ""
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Prepare connections; none is made yet."""
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=timeout, read_bufsize=LINE_MAX_BYTES
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with`"  # noqa: S101
        return self._session

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read.

        Raises:
            CliFault: refused, or nothing answers.
        """
        async with self._request("GET", path, params=query) as response:
            return await _body(response)

    async def send(
        self, method: str, *path: str, body: object = None, key: str = ""
    ) -> tuple[int, Json]:
        """Change something; gives the status and the answer.

        Raises:
            CliFault: refused, or nothing answers.
        """
        headers = {"Idempotency-Key": key} if key else {}
        async with self._request(method, path, json=body, headers=headers) as response:
            return response.status, await _body(response)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: Sequence[str],
        **more: Any,  # noqa: ANN401 - handed on
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._open.request(method, self.url + path_of(path), **more) as response:
                if response.status >= 400:
                    raise await _refusal(response)
                yield response
        except (
            aiohttp.ClientConnectorError,
            ConnectionError,
            aiohttp.ServerDisconnectedError,
        ) as error:
            raise self._unreachable(error) from None
        except aiohttp.InvalidURL:
            raise CliFault(f"{self.url!r} is not an address", "", ExitCode.USAGE) from None
        except (TimeoutError, aiohttp.ClientError) as error:
            what = f"{error}" or "no answer in time"
            raise CliFault(
                f"{self.url}: {what}", "try again, or look at `penstock status`",
                ExitCode.TIMED_OUT if isinstance(error, TimeoutError) else ExitCode.UNREACHABLE,
            ) from None  # fmt: skip

    def _unreachable(self, error: Exception) -> CliFault:
        reason = getattr(error, "os_error", None) or error
        return CliFault(
            f"no gateway answers at {self.url}: {getattr(reason, 'strerror', '') or reason}",
            "start the stack with `penstock up --detach`, or name another with --url",
            ExitCode.UNREACHABLE,
        )

    @asynccontextmanager
    async def stream(
        self, *path: str, query: Mapping[str, str] | None = None, last_id: str = ""
    ) -> AsyncIterator[AsyncIterator[ServerEvent]]:
        """Follow a live stream.

        Raises:
            CliFault: refused, or nothing answers.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_WITHIN_S, sock_read=SILENCE_MAX_S
        )
        async with self._request(
            "GET", path, params=query, headers=headers, timeout=timeout
        ) as response:
            yield read_events(response.content)

    @asynccontextmanager
    async def fetch(self, *path: str) -> AsyncIterator[Content]:
        """Read bytes, as many as there are.

        Raises:
            CliFault: refused, nothing answers, or the connection is cut before the end.
        """
        headers = {"Accept": "*/*"}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_WITHIN_S, sock_read=CONTENT_WITHIN_S
        )
        async with self._request("GET", path, headers=headers, timeout=timeout) as response:
            yield Content(response.content_length, response.content.iter_chunked(PIECE_BYTES))


async def read_events(lines: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """Take a stream of server-sent events apart; comments are left out."""
    kind, data, last = "", "", ""
    async for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data += value
            case "id":
                last = value
            case _:
                pass
        if not line and (kind or data):
            yield ServerEvent(kind, _object(data), last)
            kind, data = "", ""


def _object(text: str) -> Json:
    try:
        value = cast("object", json.loads(text))
    except ValueError:
        return {}
    return cast("Json", value) if isinstance(value, dict) else {}


async def _body(response: aiohttp.ClientResponse) -> Json:
    return _object(await response.text())


async def _refusal(response: aiohttp.ClientResponse) -> Refused:
    problem = await _body(response)
    detail = problem.get("detail") or f"HTTP {response.status} {response.reason or ''}".strip()
    found = problem.get("problems")
    return Refused(
        response.status, str(problem.get("code", "")), str(detail),
        cast("list[dict[str, str]]", found) if isinstance(found, list) else (),
    )  # fmt: skip


def with_api(access: Access, work: Callable[[Api], Awaitable[T]]) -> T:
    """Run `work` against the gateway that the options name, and give its result."""

    async def run() -> T:
        async with HttpApi(access.url(), access.token()) as api:
            return await work(api)

    return asyncio.run(run())
