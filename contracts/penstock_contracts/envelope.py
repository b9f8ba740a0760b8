"""The one envelope of every message: CloudEvents 1.0, structured mode, JSON.

Extension attributes (lower case letters and digits only, as CloudEvents asks): `tenant`,
`causationid` (the message that led to this one), `correlationid` (the run, or the trigger before
there is a run), `actor` (who asked), `traceparent` (W3C); on events also `partition`, `n` (place
in the partition), `version` (place in the aggregate) and `prevhash`.
"""

from typing import Any, ClassVar, Self

from pydantic import Field, JsonValue, ValidationError

from penstock_contracts.codes import Code
from penstock_contracts.values import DEFAULT_TENANT, Wire

MAX_MESSAGE_BYTES = 12 * 1024 * 1024  # our servers' max_payload
MAX_BODY_BYTES = 10 * 1024 * 1024  # HTTP bodies and trigger payloads
MAX_INLINE_BYTES = 64 * 1024  # above this a payload is an artifact


class MalformedMessage(ValueError):
    """A message that is not a CloudEvent, or whose data does not fit its type."""

    code: ClassVar[Code] = Code.MALFORMED


class OversizedMessage(MalformedMessage):
    """A message over the limit that its text names; it was not read."""

    code: ClassVar[Code] = Code.TOO_LARGE


class Envelope(Wire):
    """A command, a trigger or a notice on the bus.

    Attributes:
        id: unique with `source`; a copy carries the same id.
        type: `<kind>.<name>.v<version>`, as in `run.cancel_run.v1`.
        subject: id of the aggregate it is about.
        actor: `service:<name>`, `user:<name>` or `token:<name>`.
        data: the payload of the type's own model.
    """

    specversion: str = Field(default="1.0", pattern=r"^1\.\d+$")
    id: str = Field(min_length=1, max_length=256)
    source: str = Field(min_length=1, max_length=512)
    type: str = Field(min_length=1, max_length=128)
    subject: str | None = Field(default=None, max_length=512)
    time: str | None = None
    datacontenttype: str | None = None
    tenant: str = DEFAULT_TENANT
    causationid: str | None = None
    correlationid: str | None = None
    actor: str | None = None
    traceparent: str | None = None
    data: JsonValue = None

    def encode(self) -> bytes:
        """Give the JSON bytes; absent attributes are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an envelope.

        Raises:
            MalformedMessage: with the first fault, its place and what was expected.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            raise MalformedMessage(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """Say the first fault of a validation as one sentence, without the offending value."""
    detail: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in detail["loc"]) or "message"
    return f"{place}: {detail['msg']}"
