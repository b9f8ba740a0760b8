"""The SDK, imported when the first session is opened: that takes seconds, and an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import dagger
import gql
from dagger.client._config import ConnectConfig
from dagger.client._session import ConnectParams, SingleConnection
from gql.transport.exceptions import TransportQueryError

from penstock_adapters.dagger.faults import EngineAway, Refused

_REASON_CHARS = 300


class Api:
    """The engine's API behind one CLI session.

    The SDK itself would start the CLI with this process' whole environment, agents' secrets
    included, so it is handed a session that has been started already; that way in is private to
    the SDK, whose version is therefore bounded.

    Attributes:
        client: For what is asked seldom.
    """

    def __init__(self, port: int, token: str, connect_s: float) -> None:
        timeout = dagger.Timeout(None, connect=connect_s)
        self._connection = SingleConnection(
            ConnectParams(port=port, session_token=token),
            ConnectConfig(timeout=timeout, retry=None),
        )
        self.client = dagger.Client.from_connection(self._connection)

    async def open(self) -> None:
        """Connect.

        Raises:
            EngineAway: The API does not answer.
        """
        try:
            await self._connection.__aenter__()
        except dagger.DaggerError as error:
            raise EngineAway(f"the API does not answer: {reason_of(error)}") from error

    async def execute(self, document: str) -> Mapping[str, Any]:
        """Send a document."""
        return cast("Mapping[str, Any]", await self._connection.session.execute(gql.gql(document)))

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()


def translated(fault: Exception) -> EngineAway | Refused:
    """Tell an engine that says no from one that says nothing."""
    if isinstance(fault, (EngineAway, Refused)):
        return fault
    if isinstance(fault, (TransportQueryError, dagger.QueryError)):
        return Refused(reason_of(fault))
    return EngineAway(f"the engine went away ({type(fault).__name__})")


def reason_of(error: Exception) -> str:
    """The first line of what was said, bounded."""
    said = str(error)
    if isinstance(error, TransportQueryError) and error.errors:
        said = str(error.errors[0].get("message", said))
    return (said.strip() or type(error).__name__).splitlines()[0][:_REASON_CHARS]
