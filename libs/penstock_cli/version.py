"""The version of this installation."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _of

DISTRIBUTION = "penstock"


def version() -> str:
    """Give the installed version, or `unknown` in a tree that was never installed."""
    try:
        return _of(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
