"""Triggers: what became of each, and API tokens, which the catalog keeps as well."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from penstock_contracts.values import Digest, Id, JsonObject, TimeUs, Wire

DIRECT_SOURCE = "workflow"  # trigger.workflow.<name>: start that workflow with data.inputs


class GatewayTrigger(StrEnum):
    """CloudEvents types of the triggers that the gateway publishes, and of no other message."""

    MANUAL = "penstock.manual"
    WEBHOOK = "penstock.webhook"
    ALERT = "alertmanager.alert.v4"


class MatchedRun(Wire):
    """A run that a trigger starts."""

    run_id: Id
    partition: str
    workflow: str
    definition_digest: Digest
    agents: dict[str, Digest] = {}
    inputs: JsonObject = {}


class ReceiveTrigger(Wire):
    """Internal: a decoded message from TRIGGERS; never accepted as a command from the bus.

    Attributes:
        path: source and further subject tokens.
        event: what rules and templates see as `trigger`: id, source, type, path, data.
    """

    TYPE: ClassVar[str] = "trigger.receive_trigger.v1"
    trigger_id: str
    path: str
    event: JsonObject


class ConfirmStart(Wire):
    """The run's partition says that the run exists; a copy changes nothing."""

    TYPE: ClassVar[str] = "trigger.confirm_start.v1"
    run_id: Id
    trigger_aggregate: Id


class TriggerMatched(Wire):
    """A trigger was accepted and names its runs, derived for ever.

    Attributes:
        faults: why further workflows whose rules matched were not started.
    """

    TYPE: ClassVar[str] = "trigger.trigger_matched.v1"
    tenant: str
    trigger_id: str
    path: str
    requested_by: str = ""
    runs: tuple[MatchedRun, ...]
    faults: tuple[str, ...] = ()
    matched_us: TimeUs
    traceparent: str | None = None


class TriggerIgnored(Wire):
    """A trigger started nothing, and why."""

    TYPE: ClassVar[str] = "trigger.trigger_ignored.v1"
    tenant: str
    trigger_id: str
    path: str
    code: str
    detail: str = Field(default="", max_length=4096)


class StartConfirmed(Wire):
    """One of the trigger's runs exists."""

    TYPE: ClassVar[str] = "trigger.start_confirmed.v1"
    run_id: Id


class IssueToken(Wire):
    """Store an API token's hash; the same hash, roles and groups again change nothing."""

    TYPE: ClassVar[str] = "token.issue_token.v1"
    name: str = Field(min_length=1, max_length=63)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()


class RevokeToken(Wire):
    """Make a token worthless."""

    TYPE: ClassVar[str] = "token.revoke_token.v1"
    name: str


class TokenIssued(Wire):
    """A token is valid from here on."""

    TYPE: ClassVar[str] = "token.token_issued.v1"
    tenant: str
    name: str
    sha256: str
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    command_id: str = ""


class TokenRevoked(Wire):
    """The token is worthless from here on."""

    TYPE: ClassVar[str] = "token.token_revoked.v1"
    tenant: str
    name: str
    command_id: str = ""


class TokenUnchanged(Wire):
    """The same token was issued again (kept so that its sender has an answer)."""

    TYPE: ClassVar[str] = "token.token_unchanged.v1"
    name: str
    command_id: str = ""


class CommandRejected(Wire):
    """A command was refused, said once per command id."""

    TYPE: ClassVar[str] = "token.command_rejected.v1"
    command_id: str
    command: str
    code: str
    detail: str = Field(default="", max_length=4096)
