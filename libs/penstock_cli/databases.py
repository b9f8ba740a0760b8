"""The databases of Penstock, by the part that owns each, and the tables that each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock_adapters.postgres.migrate import Schema

SCHEDULER: Final = "penstock_scheduler"
APPROVAL: Final = "penstock_approval"
GATEWAY: Final = "penstock_gateway"
SCHEMAS: Final[Mapping[str, tuple[Schema, ...]]] = {
    SCHEDULER: (Schema.LEDGER, Schema.ARTIFACTS),
    APPROVAL: (Schema.LEDGER,),
    GATEWAY: (Schema.PROJECTION,),
}
