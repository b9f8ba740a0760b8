"""The wait before the next attempt. A retry is a timer, never a sleep."""

import hashlib

from penstock_contracts.values import MICROSECONDS
from penstock_contracts.workflow.v1 import Retry


def retry_wait_us(
    policy: Retry, run_id: str, node: str, attempt: int, tries: int | None = None
) -> int:
    """Give the wait after `attempt` failed, in microseconds.

    min(cap, delay * factor^(tries-1)), of which a share of up to `jitter` is taken away; the
    share is derived from run, node and attempt, so a replay waits as long.

    Args:
        policy: of the node.
        run_id: of the run.
        node: its name.
        attempt: that failed.
        tries: attempts that the policy counts; None: all.
    """
    exponent = min((tries or attempt) - 1, 63)
    wait_s = min(policy.cap, policy.delay * policy.factor**exponent)
    seed = hashlib.sha256(f"{run_id}/{node}/{attempt}".encode()).digest()
    drawn = int.from_bytes(seed[:8], "big") / 2**64
    return int(wait_s * (1 - policy.jitter * drawn) * MICROSECONDS)
