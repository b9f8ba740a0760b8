"""Namespace sandboxes by bubblewrap, whose program comes from a wheel."""

from penstock_adapters.bubblewrap.adapter import BubblewrapSandbox

__all__ = ["BubblewrapSandbox"]
