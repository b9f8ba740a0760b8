"""Several sources of secrets as one."""

from collections.abc import Callable, Sequence

from penstock_runtime.ports.secrets import Secrets


class FirstOf:
    """Asks several sources in their order."""

    def __init__(self, sources: Sequence[Secrets]) -> None:
        self._sources = tuple(sources)

    async def find(self, name: str) -> str | None:
        """Give the first value found; a source that cannot be read is not passed over."""
        for source in self._sources:
            value = await source.find(name)
            if value is not None:
                return value
        return None

    def places(self, name: str) -> str:
        """Name all places."""
        return " or ".join(source.places(name) for source in self._sources)


class Told:
    """Tells of each value before it is handed out, so that logs can be kept free of it."""

    def __init__(self, secrets: Secrets, tell: Callable[[str], None]) -> None:
        self._secrets = secrets
        self._tell = tell

    async def find(self, name: str) -> str | None:
        """Give what the source gives."""
        value = await self._secrets.find(name)
        if value is not None:
            self._tell(value)
        return value

    def places(self, name: str) -> str:
        """Name the source's places."""
        return self._secrets.places(name)
