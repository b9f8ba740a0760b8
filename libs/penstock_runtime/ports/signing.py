"""Signing grants and checking them: only the approval service signs, executors check."""

from dataclasses import dataclass
from typing import Protocol

from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_runtime.faults import PenstockFault


class GrantRefused(PenstockFault):
    """A grant that is not to be believed; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class GrantKey:
    """A key that signed grants are checked with.

    Attributes:
        key_id: follows from the key itself, so that no two keys can be taken for each other.
        public: 32 bytes.
    """

    key_id: str
    public: bytes


class GrantSigner(Protocol):
    """Signs with the approval service's one key."""

    @property
    def key_id(self) -> str:
        """Names the key."""
        ...

    def sign(self, grant: Grant) -> SignedGrant:
        """Sign a grant; its `key_id` becomes the signer's own.

        The same grant gives the same bytes, so that answering again changes nothing.

        Raises:
            ValueError: something in it has no canonical form (RFC 8785).
        """
        ...


class GrantVerifier(Protocol):
    """Knows the public keys of approval services, from settings alone."""

    def verify(self, signed: SignedGrant) -> Grant:
        """Give the grant that was signed, to the letter.

        What the grant allows, to whom and until when, is the caller's to compare.

        Raises:
            GrantRefused: signed by none of the known keys, changed since, or no grant.
        """
        ...
