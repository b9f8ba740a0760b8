"""The signing port's suite, with Ed25519 and with the fake of the memory adapters."""

from __future__ import annotations

import pytest

from penstock_adapters.memory.signing import MemorySigner, MemoryVerifier
from penstock_adapters.signing import Ed25519Verifier, make_key, open_signer
from penstock_testkit.conformance.signing import Keys, SigningSuite


class TestMemorySigning(SigningSuite):
    @pytest.fixture
    def keys(self) -> Keys:
        secrets = [b"one secret".ljust(32), b"another secret".ljust(32)]

        def knowing(*places: int) -> MemoryVerifier:
            return MemoryVerifier(*(secrets[place] for place in places))

        return Keys([MemorySigner(secret) for secret in secrets], knowing)


class TestEd25519Signing(SigningSuite):
    @pytest.fixture
    def keys(self) -> Keys:
        signers = [open_signer(make_key()), open_signer(make_key())]

        def knowing(*places: int) -> Ed25519Verifier:
            return Ed25519Verifier(signers[place].key for place in places)

        return Keys(signers, knowing)
