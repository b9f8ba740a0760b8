"""Which agents an executor has, for those who ask why a task waits or is refused."""

import logging
from importlib.metadata import PackageNotFoundError, version

from pydantic import JsonValue

from penstock_contracts.values import MICROSECONDS
from penstock_runtime.bundles import Bundles
from penstock_runtime.ports.clock import Clock

LOOK_S = 60.0  # between two looks: each digests every agent's files
MAX_TOLD = 200  # agents; a heartbeat is one message

_log = logging.getLogger(__name__)


def installed_version() -> str:
    """Give the version of Penstock that runs here; '' if it was not installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return ""


class Stock:
    """Knows the agents at hand, as of a short while ago."""

    def __init__(self, bundles: Bundles, clock: Clock) -> None:
        self._bundles = bundles
        self._clock = clock
        self._told: list[JsonValue] = []
        self._looked_us: int | None = None

    async def told(self) -> list[JsonValue]:
        """Give name, version and digest of each, by name."""
        now_us = self._clock.now_us()
        if self._looked_us is None or now_us - self._looked_us >= LOOK_S * MICROSECONDS:
            self._looked_us = now_us
            try:
                found = (await self._bundles.discover()).bundles
            except OSError as error:
                # Tasks that need an agent say more; here what was known stays.
                _log.warning("agents cannot be looked at", extra={"reason": error.strerror})
                return self._told
            self._told = [
                {"name": name, "version": bundle.manifest.version, "digest": bundle.digest}
                for name, bundle in sorted(found.items())[:MAX_TOLD]
            ]
        return self._told
