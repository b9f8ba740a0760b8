"""Why people are asked again about a node, in one sentence; kept with what they review."""

from penstock_contracts.approval.v1 import BECAUSE_MAX
from penstock_contracts.run.v1 import AttemptFailed, GatePushedBack


def pushed_back_because(event: GatePushedBack) -> str:
    """Give the sentence for a push back."""
    return _bounded(f"pushed back by {event.by}: {event.feedback}")


def failed_because(event: AttemptFailed) -> str:
    """Give the sentence for an approved attempt that ended without its effect."""
    error = event.error
    told = f": {error.message}" if error.message else ""
    return _bounded(f"attempt {event.attempt} ended with {error.code}{told}")


def _bounded(text: str) -> str:
    return text if len(text) <= BECAUSE_MAX else f"{text[: BECAUSE_MAX - 3]}..."
