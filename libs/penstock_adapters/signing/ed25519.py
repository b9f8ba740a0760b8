"""Signing and checking grants with Ed25519."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_runtime.faults import PenstockFault
from penstock_runtime.grants import (
    key_of,
    payload_of,
    read_payload,
    read_seed,
    read_signature,
    signed_bytes,
)
from penstock_runtime.ports.signing import GrantKey, GrantRefused


class KeyFault(PenstockFault):
    """The key that grants are to be signed with is none; its text is never repeated."""


class Ed25519Signer:
    """Signs with one private key, which it keeps to itself."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Sign with `private`."""
        self._private = private
        self.key: GrantKey = key_of(private.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        """Names the key."""
        return self.key.key_id

    def sign(self, grant: Grant) -> SignedGrant:
        """Sign a grant as this key's.

        Raises:
            ValueError: something in it has no canonical form.
        """
        payload = payload_of(grant.model_copy(update={"key_id": self.key_id}))
        signature = self._private.sign(signed_bytes(payload))
        return SignedGrant(
            payload=payload, signature=base64.b64encode(signature).decode(), key_id=self.key_id
        )


class Ed25519Verifier:
    """Checks against the keys it was given, and no others."""

    def __init__(self, keys: Iterable[GrantKey]) -> None:
        """Believe what these keys have signed.

        Raises:
            ValueError: one of them is not 32 bytes.
        """
        self._keys: dict[str, Ed25519PublicKey] = {
            key.key_id: Ed25519PublicKey.from_public_bytes(key.public) for key in keys
        }

    def verify(self, signed: SignedGrant) -> Grant:
        """Give the grant that was signed.

        Raises:
            GrantRefused: by none of the known keys, changed since, or no grant.
        """
        public = self._keys.get(signed.key_id)
        if public is None:
            raise GrantRefused(f"the grant was signed by {signed.key_id}, a key unknown here")
        try:
            public.verify(read_signature(signed.signature), signed_bytes(signed.payload))
        except InvalidSignature:
            raise GrantRefused("the grant's signature is not that of its words") from None
        return read_payload(signed.payload, signed.key_id)


def make_key() -> str:
    """Draw a new private key; gives the text of its file."""
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    return base64.b64encode(seed).decode() + "\n"


def open_signer(text: str) -> Ed25519Signer:
    """Read a private key: its 32-byte seed in base64, or PKCS #8 in PEM without a password.

    Raises:
        KeyFault: it is neither, or a key of another kind.
    """
    try:
        seed = read_seed(text)
    except ValueError as error:
        raise KeyFault(f"the grant key {error}") from None
    if seed is None:
        return Ed25519Signer(_from_pem(text.strip()))
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(seed))


def _from_pem(text: str) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise KeyFault("the grant key's PEM is locked by a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFault("the grant key's PEM cannot be read") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFault("the grant key's PEM holds a key of another kind than Ed25519")
    return private
