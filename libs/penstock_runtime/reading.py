"""Reading commands from the bus: envelope, type, aggregate."""

from penstock_contracts.approval.v1 import RequestApproval
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.registry import name_of, read_command
from penstock_contracts.run.v1 import StartRun
from penstock_contracts.subjects import Address, parse
from penstock_contracts.values import Wire
from penstock_runtime.domain import Addressed, Refused
from penstock_runtime.ports.inbox import Received


def read_envelope(message: Received) -> tuple[Address, Envelope, Wire]:
    """Take a command message apart.

    Bus permissions are by subject, so a command is believed only when the last token of its
    subject names it, and its tenant is the subject's.

    Raises:
        MalformedMessage: it cannot be decoded.
        Refused: subject and content contradict each other.
    """
    address = parse(message.subject)
    envelope = Envelope.decode(message.payload)
    command = read_command(envelope.type, envelope.data)
    if name_of(envelope.type) != address.rest[-1] or envelope.tenant != address.tenant:
        raise Refused(Code.FORGED)
    return address, envelope, command


def addressed(aggregate_id: str, address: Address, envelope: Envelope, command: Wire) -> Addressed:
    """Name the aggregate a command is for; a redrive names it itself."""
    if isinstance(command, RedriveMessages):
        aggregate_id = command.aggregate
    return Addressed(
        aggregate_id=aggregate_id,
        command=command,
        command_id=envelope.id,
        actor=envelope.actor or "",
        tenant=address.tenant,
        traceparent=envelope.traceparent,
        founds=isinstance(command, StartRun | RequestApproval),
    )


def one_of(aggregate_id: str, address: Address, place: int) -> str:
    """Check that the subject's token at `place` names the aggregate that the data names.

    Raises:
        Refused: it does not.
    """
    if address.rest[place] != aggregate_id:
        raise Refused(Code.FORGED)
    return aggregate_id
