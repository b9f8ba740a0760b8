"""Issuing the token that the stack was started with."""

import logging
import stat
from pathlib import Path

from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive
from penstock_contracts.subjects import Stream
from penstock_contracts.trigger.v1 import IssueToken
from penstock_contracts.values import SYSTEM_TENANT
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.projection import ViewReader
from penstock_webhook_gateway.http.access import Role, token_hash
from penstock_webhook_gateway.http.context import SOURCE
from penstock_webhook_gateway.kinds import View

log = logging.getLogger(__name__)

ADMIN = "admin"
RETRY_S = 0.5
LOOKS_A_QUESTION = 200  # looks at the read model before the catalog is asked again
LOOK_S = 0.05


def read_token(path: Path) -> str:
    """Read the token's file; one that others may read is used all the same, but said."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others may read the admin token's file", extra={"file": str(path)})
    return path.read_text(encoding="utf-8").strip()


async def issue_admin_token(token: str, tenant: str, publisher: Publisher, clock: Clock) -> None:
    """Ask the catalog to know `token`; asking again changes nothing.

    Only the hash leaves this process.
    """
    digest = token_hash(token)
    command = IssueToken(name=ADMIN, sha256=digest, roles=(Role.ADMIN.value,))
    envelope = Envelope(
        id=derive("bootstrap", tenant, digest),
        source=SOURCE,
        type=IssueToken.TYPE,
        subject=ADMIN,
        tenant=tenant,
        actor="service:webhook-gateway",
        data=command.to_data(),
    )
    subject = subjects.catalog(tenant, "token", ADMIN, "issue_token")
    message = Outgoing(Stream.CATALOG.value, subject, envelope.encode())
    while (await publisher.publish([message]))[0] is not Published.DONE:
        await clock.sleep(RETRY_S)


async def admit(
    token: str, tenant: str, publisher: Publisher, reader: ViewReader, clock: Clock
) -> None:
    """Return once callers with `token` are let in; ask the catalog, and again, until they are.

    A token that the read model knows already is not asked for.
    """
    digest, looks = token_hash(token), 0
    while not await _is_known(digest, reader):
        if looks % LOOKS_A_QUESTION == 0:
            await issue_admin_token(token, tenant, publisher, clock)
        looks += 1
        await clock.sleep(LOOK_S)


async def _is_known(digest: str, reader: ViewReader) -> bool:
    try:
        return await reader.get(View.TOKEN, SYSTEM_TENANT, digest) is not None
    except TransientFault:
        return False
