"""Grants on the wire, and the text in which keys are written down in settings."""

import base64
import binascii
import hashlib

from pydantic import ValidationError
from pydantic_core import from_json

from penstock_contracts.grant.v1 import GRANT_CONTEXT, Grant
from penstock_core.workflow.canonical import canonical_json
from penstock_runtime.ports.signing import GrantKey, GrantRefused

KEY_BYTES = 32  # of a seed and of a public key (RFC 8032)
KEY_ID_HEX = 16  # 64 bits of the hash: names a key, proves nothing
SIGNATURE_BYTES = 64
PEM_BEGINS = "-----BEGIN"
KEYS_MAX = 16  # of one executor: the current one and a few that have been replaced


def payload_of(grant: Grant) -> str:
    """Give the canonical JSON (RFC 8785) of a grant.

    Raises:
        ValueError: something in it has no canonical form.
    """
    return canonical_json(grant.to_data()).decode()


def signed_bytes(payload: str) -> bytes:
    """Give what is signed for a payload.

    Raises:
        GrantRefused: it is no text.
    """
    try:
        return GRANT_CONTEXT + payload.encode()
    except UnicodeEncodeError:
        raise GrantRefused("the grant is no text") from None


def read_payload(payload: str, key_id: str) -> Grant:
    """Read a payload whose signature by `key_id` was found good.

    Raises:
        GrantRefused: it is no grant, or one that names another key.
    """
    try:
        grant = Grant.model_validate(from_json(payload, allow_inf_nan=False))
    except (ValueError, ValidationError):
        raise GrantRefused("what was signed is no grant") from None
    if grant.key_id != key_id:
        raise GrantRefused(f"the grant names key {grant.key_id} and was signed by {key_id}")
    return grant


def read_signature(text: str) -> bytes:
    """Read a signature.

    Raises:
        GrantRefused: it is not 64 bytes in base64.
    """
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GrantRefused("the grant's signature is not base64") from None
    if len(signature) != SIGNATURE_BYTES:
        raise GrantRefused(f"the grant's signature is not {SIGNATURE_BYTES} bytes")
    return signature


# --- keys ---------------------------------------------------------------------------------------


def key_of(public: bytes) -> GrantKey:
    """Name a public key: by the first hex digits of its SHA-256."""
    return GrantKey(hashlib.sha256(public).hexdigest()[:KEY_ID_HEX], public)


def written(key: GrantKey) -> str:
    """Write a key as executors' settings name it: `<key id>:<base64>`."""
    return f"{key.key_id}:{base64.b64encode(key.public).decode()}"


def read_seed(text: str) -> bytes | None:
    """Read a private key written as its 32-byte seed in base64; None: it is PEM instead.

    Raises:
        ValueError: it is neither; the text is not repeated.
    """
    if text.strip().startswith(PEM_BEGINS):
        return None
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is neither a 32-byte seed in base64 nor PEM") from None
    if len(seed) != KEY_BYTES:
        raise ValueError(f"holds {len(seed)} bytes; the seed of an Ed25519 key has {KEY_BYTES}")
    return seed


def read_keys(text: str) -> tuple[GrantKey, ...]:
    """Read keys separated by commas.

    Raises:
        ValueError: one is not in the form of `written`, or its id is not its own.
    """
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if len(pieces) > KEYS_MAX:
        raise ValueError(f"{len(pieces)} keys, and {KEYS_MAX} at most: leave out what has expired")
    return tuple(_read_key(piece, number) for number, piece in enumerate(pieces, 1))


def _read_key(text: str, number: int) -> GrantKey:
    key_id, colon, encoded = text.partition(":")
    if not colon:
        raise ValueError(f"key {number} is not `<key id>:<base64 of the public key>`")
    try:
        public = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {number} ({key_id}) is not base64 behind its colon") from None
    if len(public) != KEY_BYTES:
        raise ValueError(
            f"key {number} ({key_id}) has {len(public)} bytes; an Ed25519 public key {KEY_BYTES}"
        )
    key = key_of(public)
    if key.key_id != key_id:
        raise ValueError(f"key {number} is called {key_id}, but that key's id is {key.key_id}")
    return key
