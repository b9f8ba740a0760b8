"""The key that approvals are signed with: made once, and handed to the approval service alone."""

from __future__ import annotations

from pathlib import Path

from penstock_adapters.embedded.faults import StateDamagedError
from penstock_adapters.embedded.home import write_private
from penstock_adapters.signing import KeyFault, make_key, open_signer
from penstock_runtime.ports.signing import GrantKey


def ensure_grant_key(path: Path) -> GrantKey:
    """Make the private key at `path` unless it is there; gives its public half.

    Raises:
        StateDamagedError: the file is there and holds no key. It is not replaced: what was
            approved and has not been executed yet would be refused without a word.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = make_key()
        write_private(path, text)
    except UnicodeDecodeError:
        text = ""
    try:
        return open_signer(text).key
    except KeyFault as fault:
        raise StateDamagedError(
            f"{path}: {fault}; put it back from your own copy, or delete it: a new one is then "
            "made, and what has been approved and not begun has to be approved again"
        ) from None
