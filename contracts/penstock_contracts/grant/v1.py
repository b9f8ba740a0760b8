"""Grants: what an approval is bound to, and the signed proof of its decision."""

from pydantic import Field

from penstock_contracts.values import Digest, Id, TimeUs, Wire


class Binding(Wire):
    """Digests of what will execute, part by part, so that a difference can be named.

    Each part is the SHA-256 over its canonical JSON (RFC 8785); `digest` is that over the object
    of the four parts.

    Attributes:
        agent: of name and manifest digest (which holds the bundle's or the image's).
        input: of the resolved input.
        effect: of the plan's effect; of null where there is no plan.
        base: of the state planned against; of null where there is no plan.
    """

    agent: Digest
    input: Digest
    effect: Digest
    base: Digest
    digest: Digest


class Grant(Wire):
    """Leave to execute one thing once.

    Attributes:
        principals: who allowed it.
        expires_us: not to be begun at or after this time.
        key_id: names the approval service's key that signed.
    """

    tenant: str
    run_id: Id
    node: str
    attempt: int = Field(ge=1)
    approval_id: Id
    binding: Binding
    principals: tuple[str, ...]
    granted_us: TimeUs
    expires_us: TimeUs
    key_id: str = Field(min_length=1, max_length=64)


class SignedGrant(Wire):
    """A grant and its Ed25519 signature (RFC 8032).

    Attributes:
        payload: the grant's canonical JSON (RFC 8785), to the letter what was signed, behind
            `GRANT_CONTEXT`.
        signature: 64 bytes in base64.
        key_id: as in the payload; chooses the key to verify with.
    """

    payload: str = Field(max_length=65_536)
    signature: str = Field(max_length=128)
    key_id: str = Field(min_length=1, max_length=64)


GRANT_CONTEXT = b"penstock.grant.v1\x00"
"""Signed in front of the payload: a signature over anything else is no grant."""
