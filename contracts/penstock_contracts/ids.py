"""Derived identifiers: the same names give the same id on every machine, for ever.

An id is never random. A trigger delivered twice names the same run, a task asked for again is
the same task, and a rebuilt stream changes no id. Every id is a UUID (RFC 9562 version 8, whose
122 free bits are the head of a SHA-256 over the length-prefixed parts).
"""

import hashlib
from functools import lru_cache
from uuid import UUID

_VERSION_MASK = ~(0xF000 << 64)
_VARIANT_MASK = ~(0xC000 << 48)
TRIGGER_ID_MAX_CHARS = 200  # beyond, a trigger's id is replaced by its hash


@lru_cache(maxsize=16_384)  # a task's id is asked for by every message about it
def derive(kind: str, *parts: str) -> str:
    """Derive the id of `kind` from `parts`.

    The parts are length-prefixed before hashing, so ("ab", "c") and ("a", "bc") differ.

    Args:
        kind: what the id names; part of the hash, so kinds never collide.
        parts: the names that make it unique, in a fixed order.

    Returns:
        The UUID in its usual 36-character text form.
    """
    digest = hashlib.sha256()
    for part in (kind, *parts):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & _VERSION_MASK | (8 << 76)
    number = number & _VARIANT_MASK | (0x8000 << 48)
    return str(UUID(int=number))


def event_trigger_id(source: str, event_id: str) -> str:
    """Id of a trigger that is a CloudEvent, by what makes that event the same event."""
    return bounded_trigger_id(f"ce:{source}#{event_id}")


def gateway_trigger_id(source: str, event_id: str) -> str:
    """Id of a trigger that the gateway has published.

    Apart from all others, so that no publisher can take the id of a request before it comes.
    """
    return bounded_trigger_id(f"gateway:{source}#{event_id}")


def bounded_trigger_id(text: str) -> str:
    """Keep a trigger's id short: a long one is replaced by its hash."""
    if len(text) <= TRIGGER_ID_MAX_CHARS:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def run_id(tenant: str, workflow: str, trigger_id: str) -> str:
    """Id of the run that `trigger_id` starts of `workflow`."""
    return derive("run", tenant, workflow, trigger_id)


def task_id(run: str, node_path: str, attempt: int, phase: str) -> str:
    """Id of one phase of one attempt of one node (its path names item and round as well)."""
    return derive("task", run, node_path, str(attempt), phase)


def approval_id(run: str, node_path: str, attempt: int) -> str:
    """Id of the approval that `node_path` waits for in its `attempt`."""
    return derive("approval", run, node_path, str(attempt))


def idempotency_key(run: str, node_path: str) -> str:
    """Key that stays the same over all attempts of a node; agents hand it to what they call."""
    return derive("idempotency", run, node_path)


def workflow_id(tenant: str, name: str) -> str:
    """Aggregate id of the workflow called `name`."""
    return derive("workflow", tenant, name)


def agent_id(tenant: str, name: str) -> str:
    """Aggregate id of the agent called `name`."""
    return derive("agent", tenant, name)


def token_id(tenant: str, name: str) -> str:
    """Aggregate id of the API token called `name`."""
    return derive("token", tenant, name)


def executor_id(tenant: str, name: str) -> str:
    """Aggregate id of what is known of the executor whose subject token is `name`."""
    return derive("executor", tenant, name)


def trigger_aggregate_id(tenant: str, trigger_id: str) -> str:
    """Aggregate id of the trigger that its publisher calls `trigger_id`."""
    return derive("trigger", tenant, trigger_id)


def parked_id(partition: str, stream: str, sequence: int, time_us: int) -> str:
    """Aggregate id of a message that belongs to no aggregate and could not be processed."""
    return derive("parked", partition, stream, str(sequence), str(time_us))


def refused_id(partition: str, command_id: str) -> str:
    """Aggregate id of the refusal of a command whose target does not exist."""
    return derive("refused", partition, command_id)
