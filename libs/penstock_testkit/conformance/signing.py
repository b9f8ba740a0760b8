"""What every pair of `GrantSigner` and `GrantVerifier` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_contracts.ids import approval_id, derive
from penstock_contracts.values import JsonObject
from penstock_core.binding import bind
from penstock_runtime.ports.signing import GrantRefused, GrantSigner, GrantVerifier

RUN = derive("run", "conformance")


def grant(**fields: object) -> Grant:
    """A grant as an approval leaves it; `fields` replace what is usual."""
    usual: dict[str, object] = {
        "tenant": "default",
        "run_id": RUN,
        "node": "patch",
        "attempt": 1,
        "approval_id": approval_id(RUN, "patch", 1),
        "binding": bind(Proposal(agent="patcher", input={"path": "grüße/€"})),
        "principals": ("ada", "grace"),
        "granted_us": 1_795_000_000_000_000,
        "expires_us": 1_795_000_060_000_000,
        "key_id": "unsigned",
    }
    return Grant.model_validate({**usual, **fields})


CHANGES: dict[str, object] = {
    "tenant": "other",
    "run_id": derive("run", "another"),
    "node": "deploy",
    "attempt": 2,
    "approval_id": approval_id(RUN, "patch", 2),
    "binding": bind(Proposal(agent="patcher", input={"path": "another"})),
    "principals": ("ada", "mallory"),
    "granted_us": 1_795_000_000_000_001,
    "expires_us": 1_895_000_060_000_000,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """Signers, and how to make a verifier that knows some of them, by their places."""

    signers: Sequence[GrantSigner]
    knowing: Callable[..., GrantVerifier]


class SigningSuite:
    """Run with a fixture `keys` of at least two signers."""

    def test_what_was_signed_is_given_back(self, keys: Keys) -> None:
        signer = keys.signers[0]
        signed = signer.sign(grant())
        assert signed.key_id == signer.key_id
        assert keys.knowing(0).verify(signed) == grant(key_id=signer.key_id)

    def test_it_travels_as_json(self, keys: Keys) -> None:
        signed = keys.signers[0].sign(grant())
        again = SignedGrant.model_validate_json(signed.model_dump_json())
        assert keys.knowing(0).verify(again) == keys.knowing(0).verify(signed)

    def test_the_same_grant_gives_the_same_bytes(self, keys: Keys) -> None:
        assert keys.signers[0].sign(grant()) == keys.signers[0].sign(grant())

    @pytest.mark.parametrize("field", sorted(CHANGES))
    def test_a_changed_word_is_refused(self, keys: Keys, field: str) -> None:
        signer, verifier = keys.signers[0], keys.knowing(0)
        honest = signer.sign(grant())
        changed = signer.sign(grant(**{field: CHANGES[field]}))
        assert changed.payload != honest.payload
        forged = honest.model_copy(update={"payload": changed.payload})
        with pytest.raises(GrantRefused, match="signature"):
            verifier.verify(forged)

    @pytest.mark.parametrize(
        "spoil",
        [lambda text: " " + text, lambda text: text + "\n", lambda text: text + "\ud800"],
    )
    def test_it_counts_to_the_letter(self, keys: Keys, spoil: Callable[[str], str]) -> None:
        signed = keys.signers[0].sign(grant())
        spoilt = signed.model_copy(update={"payload": spoil(signed.payload)})
        with pytest.raises(GrantRefused):
            keys.knowing(0).verify(spoilt)

    def test_every_bit_of_the_signature_counts(self, keys: Keys) -> None:
        signed, verifier = keys.signers[0].sign(grant()), keys.knowing(0)
        raw = base64.b64decode(signed.signature)
        assert len(raw) == 64
        for bit in range(len(raw) * 8):
            changed = bytearray(raw)
            changed[bit // 8] ^= 1 << bit % 8
            text = base64.b64encode(bytes(changed)).decode()
            with pytest.raises(GrantRefused):
                verifier.verify(signed.model_copy(update={"signature": text}))

    @pytest.mark.parametrize("signature", ["", "=", "?", "AAAA", "é", "A" * 128])
    def test_what_is_no_signature_is_refused(self, keys: Keys, signature: str) -> None:
        signed = keys.signers[0].sign(grant())
        with pytest.raises(GrantRefused):
            keys.knowing(0).verify(signed.model_copy(update={"signature": signature}))

    def test_a_key_that_is_not_known_is_refused_by_name(self, keys: Keys) -> None:
        stranger = keys.signers[1]
        with pytest.raises(GrantRefused, match=stranger.key_id):
            keys.knowing(0).verify(stranger.sign(grant()))
        with pytest.raises(GrantRefused, match=stranger.key_id):
            keys.knowing().verify(stranger.sign(grant()))

    def test_a_stranger_cannot_sign_in_anothers_name(self, keys: Keys) -> None:
        known, stranger = keys.signers[:2]
        posing = stranger.sign(grant()).model_copy(update={"key_id": known.key_id})
        with pytest.raises(GrantRefused):
            keys.knowing(0).verify(posing)
        inside: JsonObject = {**json.loads(posing.payload), "key_id": known.key_id}
        forged = posing.model_copy(update={"payload": json.dumps(inside)})
        with pytest.raises(GrantRefused):
            keys.knowing(0).verify(forged)

    def test_a_key_vouches_for_its_own_grants_alone(self, keys: Keys) -> None:
        first, second = keys.signers[:2]
        verifier = keys.knowing(0, 1)
        assert verifier.verify(first.sign(grant())).key_id == first.key_id
        assert verifier.verify(second.sign(grant())).key_id == second.key_id
        swapped = first.sign(grant()).model_copy(update={"key_id": second.key_id})
        with pytest.raises(GrantRefused):
            verifier.verify(swapped)
