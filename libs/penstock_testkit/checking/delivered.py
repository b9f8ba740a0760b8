"""What a stream has taken and not lost is decided on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from pydantic import ValidationError
from pydantic_core import from_json

from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.subjects import Stream, parse
from penstock_testkit.checking.history import History, Reported, Violation

ANSWERED = frozenset(
    {"register_agent", "apply_workflow", "cast_vote", "cancel_run", "settle_outcome"}
)
"""Commands that always leave an event, if only the one of their refusal."""

_STREAMS = {
    "trigger": Stream.TRIGGERS,
    "catalog": Stream.CATALOG,
    "approval": Stream.APPROVALS,
    "run": Stream.RUNS,
}

Said = tuple[str, bytes, Mapping[str, str]]
"""Subject, payload and headers of a message that its stream has acknowledged."""


def answered_of(said: Iterable[Said], lossy: Collection[str] = ()) -> Iterator[str]:
    """Give the ids of what has to leave an event: triggers with a message id, and `ANSWERED`.

    Args:
        said: everything that was acknowledged.
        lossy: streams that have lost something since.
    """
    for subject, payload, headers in said:
        address = parse(subject)
        stream = _STREAMS.get(address.kind)
        if stream is None or stream.value in lossy:
            continue
        if address.kind == "trigger" and "Nats-Msg-Id" in headers:
            yield f"msg:{headers['Nats-Msg-Id']}"
        elif address.rest[-1] in ANSWERED:
            with suppress(ValueError, KeyError, TypeError):  # garbage has no id
                yield str(from_json(payload)["id"])


def reported_in(subject: str, payload: bytes, at_us: int) -> Reported | None:
    """Give the result in a message to a run; None: it is none."""
    address = parse(subject)
    if address.kind != "run" or address.rest[-1] != "report_result":
        return None
    try:
        result = ReportResult.model_validate(from_json(payload)["data"])
    except (ValidationError, ValueError, KeyError, TypeError):
        return None
    return Reported(
        address.rest[1], result.node, result.attempt, result.phase.value, result.nonce, at_us
    )


def what_was_delivered_is_decided(history: History) -> Iterator[Violation]:
    """In the end every command and trigger that its stream had taken has left an event."""
    if not history.caught_up or not history.delivered:
        return
    causes = {fact.meta.causation_id for facts in history.facts.values() for fact in facts}
    for one in sorted(set(history.delivered) - causes):
        yield Violation("delivered", one, "was acknowledged by its stream and never decided on")
