"""Grants signed by a shared secret: the signing port without public keys, for tests."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha512

from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_runtime.grants import (
    key_of,
    payload_of,
    read_payload,
    read_signature,
    signed_bytes,
)
from penstock_runtime.ports.signing import GrantRefused


class MemorySigner:
    """Signs with HMAC-SHA512, whose code is as long as an Ed25519 signature."""

    def __init__(self, secret: bytes) -> None:
        """Sign with `secret`, 32 bytes."""
        self._secret = secret
        self.key_id: str = key_of(secret).key_id

    def sign(self, grant: Grant) -> SignedGrant:
        """Sign a grant as this secret's."""
        payload = payload_of(grant.model_copy(update={"key_id": self.key_id}))
        code = hmac.digest(self._secret, signed_bytes(payload), sha512)
        signature = base64.b64encode(code).decode()
        return SignedGrant(payload=payload, signature=signature, key_id=self.key_id)


class MemoryVerifier:
    """Checks against the secrets it was given."""

    def __init__(self, *secrets: bytes) -> None:
        """Believe what these secrets have signed."""
        self._secrets = {key_of(secret).key_id: secret for secret in secrets}

    def verify(self, signed: SignedGrant) -> Grant:
        """Give the grant that was signed.

        Raises:
            GrantRefused: by none of the known secrets, changed since, or no grant.
        """
        secret = self._secrets.get(signed.key_id)
        if secret is None:
            raise GrantRefused(f"the grant was signed by {signed.key_id}, a key unknown here")
        code = hmac.digest(secret, signed_bytes(signed.payload), sha512)
        if not hmac.compare_digest(code, read_signature(signed.signature)):
            raise GrantRefused("the grant's signature is not that of its words")
        return read_payload(signed.payload, signed.key_id)
