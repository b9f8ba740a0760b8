"""Renames in Python."""

from penstock_agent_patcher.clone import Clone
from penstock_agent_patcher.models import Rename
from penstock_agent_sdk import AgentError


def rename_symbol(clone: Clone, task: Rename) -> list[str]:
    """Refuse: not built yet.

    Raises:
        AgentError: Always.
    """
    raise AgentError("not_supported", f"{task.symbol} cannot be renamed yet ({clone.commit})")
