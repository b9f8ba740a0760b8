"""Keys, settings and the one place where a grant is signed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from pydantic_core import from_json

from penstock_adapters.embedded.faults import StateDamagedError
from penstock_adapters.embedded.grant_key import ensure_grant_key
from penstock_adapters.signing import Ed25519Verifier, KeyFault, make_key, open_signer
from penstock_approval.settings import ApprovalSettings
from penstock_contracts.envelope import Envelope
from penstock_contracts.grant.v1 import GRANT_CONTEXT, SignedGrant
from penstock_contracts.run.v1 import ApplyDecision, Verdict
from penstock_contracts.subjects import Stream
from penstock_core.decision import BrokenInvariant
from penstock_core.effects import SendCommand
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.dispatch import Renderer
from penstock_runtime.grants import KEYS_MAX, key_of, payload_of, read_keys, written
from penstock_runtime.ports.signing import GrantKey, GrantRefused
from penstock_runtime.settings import SettingsFault, load_settings
from penstock_testkit.conformance.signing import grant

SEED = bytes(range(32))
SEED_TEXT = base64.b64encode(SEED).decode()
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
BUS = {"PENSTOCK_NATS_URL": "nats://127.0.0.1:1"}
STORE = {**BUS, "PENSTOCK_POSTGRES_URL": "postgresql://x/y"}


def pem(key: Ed25519PrivateKey, password: bytes | None = None) -> str:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


# --- keys ---------------------------------------------------------------------------------------


def test_a_key_is_named_after_its_hash():
    signer = open_signer(SEED_TEXT)
    assert signer.key == GrantKey(hashlib.sha256(PUBLIC).hexdigest()[:16], PUBLIC)
    assert written(signer.key) == f"{signer.key_id}:{base64.b64encode(PUBLIC).decode()}"


def test_the_same_key_is_read_from_base64_and_from_pem():
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    assert open_signer(f" {SEED_TEXT}\n").key == open_signer(pem(key)).key
    assert open_signer(SEED_TEXT).sign(grant()) == open_signer(pem(key)).sign(grant())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds 0 bytes"),
        ("secret words", "neither a 32-byte seed in base64 nor PEM"),
        (base64.b64encode(b"short").decode(), "holds 5 bytes"),
        (pem(Ed25519PrivateKey.generate()).replace("M", "x"), "cannot be read"),
        (pem(Ed25519PrivateKey.generate(), b"word"), "locked by a password"),
        (
            ec_key(SECP256R1())
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            "another kind",
        ),
    ],
)
def test_what_is_no_key_is_said_without_repeating_it(text: str, said: str):
    with pytest.raises(KeyFault, match=said) as caught:
        open_signer(text)
    assert "secret words" not in str(caught.value)


def test_a_new_key_is_never_the_same():
    assert open_signer(make_key()).key_id != open_signer(make_key()).key_id


# --- signatures ---------------------------------------------------------------------------------


def test_signed_is_the_context_and_the_canonical_form():
    signer = open_signer(SEED_TEXT)
    signed = signer.sign(grant())
    assert signed.payload == payload_of(grant(key_id=signer.key_id))
    assert signed.payload.startswith('{"approval_id":')
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    expected = key.sign(GRANT_CONTEXT + signed.payload.encode())
    assert base64.b64decode(signed.signature) == expected


@pytest.mark.parametrize("context", [b"", b"penstock.grant.v2\x00", GRANT_CONTEXT[:-1]])
def test_a_signature_over_anything_else_is_no_grant(context: bytes):
    signer = open_signer(SEED_TEXT)
    payload = payload_of(grant(key_id=signer.key_id))
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(context + payload.encode())
    forged = SignedGrant(
        payload=payload,
        signature=base64.b64encode(signature).decode(),
        key_id=signer.key_id,
    )
    with pytest.raises(GrantRefused, match="not that of its words"):
        Ed25519Verifier([signer.key]).verify(forged)


def signed_by_hand(payload: str) -> SignedGrant:
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(GRANT_CONTEXT + payload.encode())
    return SignedGrant(
        payload=payload,
        signature=base64.b64encode(signature).decode(),
        key_id=key_of(PUBLIC).key_id,
    )


@pytest.mark.parametrize("payload", ["", "{", "[]", "null", "{}", '{"tenant":"default"}'])
def test_well_signed_nonsense_is_no_grant(payload: str):
    with pytest.raises(GrantRefused, match="no grant"):
        Ed25519Verifier([key_of(PUBLIC)]).verify(signed_by_hand(payload))


def test_the_key_inside_is_the_key_outside():
    with pytest.raises(GrantRefused, match="names key unsigned"):
        Ed25519Verifier([key_of(PUBLIC)]).verify(signed_by_hand(payload_of(grant())))


# --- settings -----------------------------------------------------------------------------------


def test_the_approval_service_reads_its_key_from_a_file(tmp_path: Path):
    file = tmp_path / "grant.key"
    file.write_text(f"{SEED_TEXT}\n")
    read = load_settings(ApprovalSettings, {**STORE, "PENSTOCK_GRANT_KEY_FILE": str(file)})
    assert open_signer(read.grant_key.get_secret_value()).key.public == PUBLIC
    assert SEED_TEXT not in repr(read)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "PENSTOCK_GRANT_KEY: is missing"),
        ({"PENSTOCK_GRANT_KEY_FILE": "/nowhere/grant.key"}, "grant.key cannot be read"),
        ({"PENSTOCK_GRANT_KEY": "secret words"}, "PENSTOCK_GRANT_KEY: is neither"),
        ({"PENSTOCK_GRANT_KEY": "AAAA"}, "holds 3 bytes"),
    ],
)
def test_an_approval_service_without_a_key_does_not_start(environment: dict[str, str], said: str):
    with pytest.raises(SettingsFault, match=said) as caught:
        load_settings(ApprovalSettings, {**STORE, **environment})
    assert "secret words" not in str(caught.value)


def test_an_executor_may_know_several_keys_or_none():
    assert load_settings(ExecutorSettings, BUS).grant_keys == ()
    other = open_signer(make_key()).key
    text = f"{written(key_of(PUBLIC))}, {written(other)},"
    read = load_settings(ExecutorSettings, {**BUS, "PENSTOCK_GRANT_KEYS": text})
    assert read.grant_keys == (key_of(PUBLIC), other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc", "key 1 is not `<key id>:<base64"),
        (f"{written(key_of(PUBLIC))},x:?", r"key 2 \(x\) is not base64"),
        ("x:AAAA", r"key 1 \(x\) has 3 bytes; an Ed25519 public key 32"),
        (
            f"0123456789abcdef:{base64.b64encode(PUBLIC).decode()}",
            f"is called 0123456789abcdef, but that key's id is {key_of(PUBLIC).key_id}",
        ),
        (",".join([written(key_of(PUBLIC))] * (KEYS_MAX + 1)), f"{KEYS_MAX} at most"),
    ],
)
def test_what_is_wrong_with_an_executors_keys_is_said(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        read_keys(text)
    with pytest.raises(SettingsFault, match=f"PENSTOCK_GRANT_KEYS: .*{said}"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_GRANT_KEYS": text})


# --- the embedded stack's key -------------------------------------------------------------------


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path):
    file = tmp_path / "grant.key"
    first = ensure_grant_key(file)
    assert ensure_grant_key(file) == first == open_signer(file.read_text()).key
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_damaged_key_is_not_replaced(tmp_path: Path, content: bytes):
    file = tmp_path / "grant.key"
    file.write_bytes(content)
    with pytest.raises(StateDamagedError, match="delete it"):
        ensure_grant_key(file)
    assert file.read_bytes() == content


# --- on the way out -----------------------------------------------------------------------------


def decision(*, sealed: bool) -> SendCommand:
    body = ApplyDecision(
        approval_id=grant().approval_id,
        node="patch",
        attempt=1,
        verdict=Verdict.APPROVED if sealed else Verdict.REJECTED,
    )
    return SendCommand(
        stream=Stream.RUNS,
        subject="penstock.default.run.run-0.x.apply_decision",
        about=grant().run_id,
        key="k",
        body=body,
        tenant="default",
        correlation_id=grant().run_id,
        seal=grant() if sealed else None,
    )


def said(renderer: Renderer, effect: SendCommand) -> ApplyDecision:
    envelope = Envelope.decode(renderer.render(effect).payload)
    return ApplyDecision.model_validate(envelope.data)


def test_an_approval_leaves_with_its_signed_grant_and_always_the_same():
    signer = open_signer(SEED_TEXT)
    renderer = Renderer("penstock/approval", "service:approval", signer=signer)
    told = said(renderer, decision(sealed=True))
    assert told.grant is not None
    assert Ed25519Verifier([signer.key]).verify(told.grant) == grant(key_id=signer.key_id)
    again = renderer.render(decision(sealed=True)).payload
    assert renderer.render(decision(sealed=True)).payload == again
    assert "seal" not in from_json(again)["data"]


def test_what_is_no_approval_leaves_without_a_grant():
    renderer = Renderer("penstock/approval", "service:approval", signer=open_signer(SEED_TEXT))
    assert said(renderer, decision(sealed=False)).grant is None


def test_a_grant_is_never_given_unsigned():
    with pytest.raises(BrokenInvariant, match="no key"):
        Renderer("penstock/approval", "service:approval").render(decision(sealed=True))
