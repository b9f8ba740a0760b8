"""Reading what EVENTS brings: only what came by a subject of its own is an event."""

import logging

from penstock_contracts.records import ReadEvent, read_published
from penstock_contracts.registry import kind_of, name_of
from penstock_contracts.subjects import event as event_subject
from penstock_contracts.subjects import parse
from penstock_runtime.ports.inbox import Received

log = logging.getLogger(__name__)


def is_marker(message: Received) -> bool:
    """Tell whether a message marks how far a partition is relayed."""
    return parse(message.subject).kind == "relay"


def event_in(message: Received) -> ReadEvent | None:
    """Give the event in a message; None, and a line in the log, if there is none."""
    try:
        event = read_published(message.payload)
        told = event_subject(
            event.meta.tenant, kind_of(event.topic), event.aggregate_id, name_of(event.topic)
        )
    except (ValueError, IndexError, AttributeError, TypeError):
        log.exception("not an event", extra={"sequence": message.sequence})
        return None
    if told != message.subject:  # permissions are by subject, so that alone is believed
        log.error("an event came by a subject that is not its own", extra={"subject": told})
        return None
    return event
