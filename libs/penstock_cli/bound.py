"""Whether what is shown is what its digest says: computed here, not taken on trust."""

from __future__ import annotations

import re

from pydantic import ValidationError

from penstock_cli.client import Json
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import short, short_digest
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.grant.v1 import Binding
from penstock_core.binding import bind, differences

DIGEST_MIN = 8  # hex digits that may stand for the whole
DIGEST_HEX = 64
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


def unbound_parts(item: Json) -> str:
    """Name what of an approval is not as its binding says; '' if all of it is."""
    try:
        told = Binding.model_validate(item["binding"])
        found = bind(Proposal.model_validate(item["proposal"]))
    except (ValidationError, ValueError, KeyError):
        return "the whole"
    if found.digest == told.digest == item.get("digest"):
        return ""
    return ", ".join(differences(told, found)) or "the digest"


def require_bound(item: Json) -> None:
    """Refuse to decide on something that its digest does not say.

    Raises:
        CliFault: which parts are not.
    """
    parts = unbound_parts(item)
    if parts:
        raise CliFault(
            f"the gateway shows something else than it asks to approve: {parts}",
            "decide nothing; look into the gateway and its read model", ExitCode.REFUSED,
        )  # fmt: skip


def chosen_digest(given: str, item: Json) -> str:
    """Give the digest that goes with the vote: of what `item` shows, or the one that was given.

    A whole digest goes to the gate as it is, which refuses another than its own; the beginning of
    one has to be the beginning of what is shown.

    Raises:
        CliFault: it is no digest, or the beginning of another one.
    """
    shown = str(item["digest"])
    if not given:
        return shown
    found = _DIGEST.fullmatch(given.strip().lower())
    if found is None or len(found[1]) < DIGEST_MIN:
        mend = f"give at least {DIGEST_MIN} of its hex digits, as `approvals show` prints them"
        raise CliFault(f"{given!r} is not a digest", mend, ExitCode.USAGE)
    if len(found[1]) == DIGEST_HEX:
        return f"sha256:{found[1]}"
    if not shown.removeprefix("sha256:").startswith(found[1]):
        raise CliFault(
            f"you were shown {found[1]}, but {short_digest(shown)} is proposed [not_proposed]",
            f"look at it again: penstock approvals show {short(item['approval_id'])}",
            ExitCode.REFUSED,
        )
    return shown
