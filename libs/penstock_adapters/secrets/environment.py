"""Secrets from the executor's own environment."""

from collections.abc import Mapping

from penstock_runtime.settings import SECRET_PREFIX


class EnvironmentSecrets:
    """`PENSTOCK_SECRET_<NAME>`; the name in upper case, hyphens as underscores."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, name: str) -> str | None:
        """Give the variable's value; an empty one counts as absent."""
        return self._environ.get(self.places(name)) or None

    def places(self, name: str) -> str:
        """Name the variable."""
        return SECRET_PREFIX + variable_of(name)


def variable_of(name: str) -> str:
    """Write a secret's name as that of a variable."""
    return name.upper().replace("-", "_")
