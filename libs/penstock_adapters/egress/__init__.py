"""The way out of a sandbox: a proxy on one Unix socket that knows which hosts are allowed."""

from penstock_adapters.egress.proxy import EgressDecision, EgressProxy
from penstock_adapters.egress.rules import EgressPolicy

__all__ = ["EgressDecision", "EgressPolicy", "EgressProxy"]
