"""Entry point: `python -m penstock_agent_notifier`."""

import os
import sys

from penstock_agent_notifier.delivery import Sender, deliver
from penstock_agent_notifier.models import NotifierInput, NotifierOutput
from penstock_agent_sdk import run_agent


def _open_sender() -> Sender:
    # A console-only message needs neither: importing them here halves its start-up time.
    from penstock_agent_notifier.webhook import send  # noqa: PLC0415
    from penstock_agent_sdk.egress import open_egress  # noqa: PLC0415

    open_egress()

    return send


def _handle(task: NotifierInput) -> NotifierOutput:
    key = os.environ.get("PENSTOCK_IDEMPOTENCY_KEY")
    return deliver(task, _open_sender, idempotency_key=key)


if __name__ == "__main__":
    sys.exit(run_agent(NotifierInput, NotifierOutput, _handle))
