"""Entry point: `python -m penstock_agent_notifier`."""

import os
import sys

from penstock_agent_notifier.book import Book
from penstock_agent_notifier.delivery import Sender, deliver
from penstock_agent_notifier.models import NotifierInput, NotifierOutput
from penstock_agent_sdk import run_agent

# What templates may say about where a message comes from.
_ABOUT = {
    "run_id": "PENSTOCK_RUN_ID",
    "workflow": "PENSTOCK_WORKFLOW",
    "node": "PENSTOCK_NODE",
    "attempt": "PENSTOCK_ATTEMPT",
}


def _open_sender() -> Sender:
    # A console-only message needs neither: importing them here halves its start-up time.
    from penstock_agent_notifier.sending import send  # noqa: PLC0415
    from penstock_agent_sdk.egress import open_egress  # noqa: PLC0415

    open_egress()

    return send


def _handle(task: NotifierInput) -> NotifierOutput:
    known = os.environ
    return deliver(
        task,
        _open_sender,
        book=Book.of(known),
        about={name: known[key] for name, key in _ABOUT.items() if key in known},
        idempotency_key=known.get("PENSTOCK_IDEMPOTENCY_KEY"),
    )


if __name__ == "__main__":
    sys.exit(run_agent(NotifierInput, NotifierOutput, _handle))
