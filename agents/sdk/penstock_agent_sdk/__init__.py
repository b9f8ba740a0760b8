"""The small kit a Penstock agent is built on.

An agent is any program that reads `/penstock/input.json`, writes `/penstock/output.json`, logs
to stdout and stderr, and ends with 0 (done), 10 (declared failure) or anything else (crash).
This package is that protocol for Python; nothing in it is needed to write an agent in another
language. Importing it costs a few milliseconds: pydantic is imported by `penstock_agent_sdk.models`
only, the networking by `penstock_agent_sdk.egress` only, and what an agent in two phases needs is
in `penstock_agent_sdk.planning`.
"""

from penstock_agent_sdk.ending import cancelled, on_cancel
from penstock_agent_sdk.errors import AgentError
from penstock_agent_sdk.progress import partial, progress
from penstock_agent_sdk.runner import EXIT_DONE, EXIT_FAILED, run_agent

__all__ = [
    "EXIT_DONE",
    "EXIT_FAILED",
    "AgentError",
    "cancelled",
    "on_cancel",
    "partial",
    "progress",
    "run_agent",
]
