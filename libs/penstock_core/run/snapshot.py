"""A run's state as a JSON document and back, and the hash by which two states are compared."""

import hashlib
import json
from typing import Any, cast

import rfc8785
from immutables import Map
from pydantic import JsonValue

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.grant.v1 import Binding, SignedGrant
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.run.v1 import RunCause, TaskResultReceived
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import Failure, JsonObject, Phase, Wire
from penstock_core.run.state import NodeState, NodeStatus, Review, RunState, RunStatus
from penstock_core.workflow.plan import Plan

_APART = frozenset({"plan", "nodes", "feedback", "doubts"})
_HEADER_FIELDS = tuple(name for name in RunState._fields if name not in _APART)
_SELDOM = ("received", "artifacts", "losses")  # left out of a document while they say nothing
_NODE_FIELDS = tuple(name for name in NodeState._fields if name not in ("review", *_SELDOM))
_REVIEW_FIELDS = Review._fields
_WIRES: dict[str, type[Wire]] = {
    "error": Failure,
    "plan": PlannedChange,
    "binding": Binding,
    "grant": SignedGrant,
    "received": TaskResultReceived,
}
_PLAIN = frozenset((str, int, float, bool, dict, list, type(None)))


def header_document(state: RunState) -> JsonObject:
    """Give everything of a run but its nodes; feedback and doubts where there are any."""
    document = {name: _plain(getattr(state, name)) for name in _HEADER_FIELDS}
    if state.feedback:
        document["feedback"] = state.feedback
    if state.doubts:
        document["doubts"] = [*sorted(state.doubts)]
    return document


def node_document(node: NodeState) -> JsonObject:
    """Give one node; what people have to do with it stands beside the rest, where there is any."""
    document = {name: _plain(getattr(node, name)) for name in _NODE_FIELDS}
    document |= {name: _plain(value) for name in _SELDOM if (value := getattr(node, name))}
    if node.review is not None:
        document |= {name: _plain(getattr(node.review, name)) for name in _REVIEW_FIELDS}
        if not node.review.because:  # as before it was kept: nobody was asked twice
            del document["because"]
    return document


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 - a field of whatever type
    kind = cast("type[object]", type(value))
    if kind in _PLAIN:
        return value
    if kind in (RunStatus, NodeStatus, Phase):
        return value.value
    if kind is tuple:
        return [_plain(item) for item in value]
    if isinstance(value, Wire):
        return value.to_data()
    return dict(value)


def state_hash(state: RunState) -> str:
    """Give the SHA-256 over the canonical JSON (RFC 8785) of the whole state, in hex."""
    return document_hash(
        header_document(state), {name: node_document(node) for name, node in state.nodes.items()}
    )


def document_hash(header: JsonObject, nodes: dict[str, JsonObject]) -> str:
    """Give the hash of a state that was saved as documents."""
    whole: dict[str, Any] = {**header, "nodes": nodes}
    try:
        canonical = rfc8785.dumps(whole)
    except rfc8785.CanonicalizationError:  # integers beyond 2^53 have no canonical form there
        canonical = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()


def read_header(document: JsonObject, plan: Plan | None) -> RunState:
    """Read a run without its nodes."""
    values: dict[str, Any] = {name: document[name] for name in _HEADER_FIELDS if name in document}
    values["status"] = RunStatus(values["status"])
    values["rejected"] = tuple(values.get("rejected", ()))
    values["frozen"] = tuple(MessageParked.model_validate(item) for item in values["frozen"])
    if values.get("cause") is not None:
        values["cause"] = RunCause.model_validate(values["cause"])
    doubts = cast("list[str]", document.get("doubts", []))
    feedback = str(document.get("feedback", ""))
    return RunState(plan=plan, feedback=feedback, doubts=frozenset(doubts), **values)


def read_node(document: JsonObject) -> NodeState:
    """Read one node."""
    values = _read(document, (*_NODE_FIELDS, *_SELDOM))
    if "artifacts" in values:
        values["artifacts"] = tuple(Artifact.model_validate(item) for item in values["artifacts"])
    values["status"] = NodeStatus(values["status"])
    values["phase"] = Phase(values["phase"])
    review = _read(document, _REVIEW_FIELDS)
    return NodeState(**values, review=Review(**review) if review else None)


def _read(document: JsonObject, fields: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {name: document[name] for name in fields if name in document}
    for name, kind in _WIRES.items():
        if values.get(name) is not None:
            values[name] = kind.model_validate(values[name])
    return values


def with_nodes(state: RunState, nodes: dict[str, NodeState]) -> RunState:
    """Put nodes back into a run that was read without them."""
    return state._replace(nodes=Map(nodes))
