"""Ed25519 (RFC 8032) behind the signing port; the only home of `cryptography`."""

from penstock_adapters.signing.ed25519 import (
    Ed25519Signer,
    Ed25519Verifier,
    KeyFault,
    make_key,
    open_signer,
)

__all__ = ["Ed25519Signer", "Ed25519Verifier", "KeyFault", "make_key", "open_signer"]
