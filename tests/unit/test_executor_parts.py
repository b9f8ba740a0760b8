"""Parts of the executor: what it sends, its settings, secrets and schemas."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue

from penstock_adapters.secrets import EnvironmentSecrets, FirstOf, FolderSecrets
from penstock_adapters.signing import make_key, open_signer
from penstock_adapters.wrappers.patient_publisher import PatientPublisher
from penstock_contracts.images import ImagePolicy
from penstock_executor.outbox import MAX_BATCH, MAX_QUEUED, Outbox
from penstock_executor.redaction import Redactor
from penstock_executor.settings import ExecutorSettings, SandboxKind
from penstock_executor.shapes import Shape
from penstock_runtime.grants import written as written_key
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.sandbox import EgressRule
from penstock_runtime.settings import SettingsFault, load_settings
from penstock_testkit.fakes.bus import KeptPublisher
from penstock_testkit.fakes.measured import KeptMetrics

MESSAGE = Outgoing("RUNS", "a.b", b"{}")


# --- outbox -------------------------------------------------------------------------------------


async def test_what_is_handed_over_in_one_turn_leaves_together() -> None:
    publisher = KeptPublisher()
    outbox = Outbox(publisher, KeptMetrics())

    outcomes = await asyncio.gather(*(outbox.send(MESSAGE) for _ in range(7)))

    assert publisher.batches == [7]
    assert set(outcomes) == {Published.DONE}


async def test_batches_are_bounded() -> None:
    publisher = KeptPublisher()
    outbox = Outbox(publisher, KeptMetrics())
    for _ in range(MAX_BATCH + 1):
        assert outbox.post(MESSAGE)
    await outbox.close()

    assert publisher.batches == [MAX_BATCH, 1]


class StuckPublisher(KeptPublisher):
    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        raise RuntimeError("no")


async def test_a_publisher_that_breaks_fails_its_messages() -> None:
    outbox = Outbox(StuckPublisher(), KeptMetrics())

    assert await outbox.send(MESSAGE) is Published.FAILED


async def test_a_full_outbox_takes_nothing_more() -> None:
    outbox = Outbox(KeptPublisher(), KeptMetrics())
    assert all(outbox.post(MESSAGE) for _ in range(MAX_QUEUED))

    assert not outbox.post(MESSAGE)
    assert await outbox.send(MESSAGE) is Published.FAILED
    await outbox.close()


async def test_patience_repeats_what_failed_and_nothing_else() -> None:
    publisher = KeptPublisher()
    publisher.outcomes.extend(
        [Published.DONE, Published.FULL, Published.FAILED, Published.FULL, Published.DONE]
    )
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    patient = PatientPublisher(publisher, sleep)
    outcomes = await patient.publish([MESSAGE, MESSAGE, MESSAGE])
    await patient.purge_subject("RUNS", "a.b")

    assert list(outcomes) == [Published.DONE] * 3
    assert publisher.batches == [3, 2, 1]
    assert len(waits) == 2
    assert publisher.sent == []


async def test_patience_ends() -> None:
    publisher = KeptPublisher()
    publisher.outcomes.extend([Published.FULL] * 10)

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    outcomes = await PatientPublisher(publisher, sleep, tries=3).publish([MESSAGE])

    assert list(outcomes) == [Published.FULL]
    assert publisher.batches == [1] * 4


# --- settings -----------------------------------------------------------------------------------

BUS = {"PENSTOCK_NATS_URL": "nats://127.0.0.1:4222"}


def test_lists_are_read() -> None:
    settings = load_settings(
        ExecutorSettings,
        {
            **BUS,
            "PENSTOCK_WORKSPACE_ROOTS": "/srv/one:/srv/two:",
            "PENSTOCK_EGRESS_ALLOW": "hooks.example.org:443, [::1]:80,*.example.com:8443",
        },
    )

    assert settings.workspace_roots == (Path("/srv/one"), Path("/srv/two"))
    assert settings.egress_allow == (
        EgressRule("hooks.example.org", 443),
        EgressRule("::1", 80),
        EgressRule("*.example.com", 8443),
    )


@pytest.mark.parametrize("text", ["host", "host:", ":80", "host:http", "host:0", "host:65536"])
def test_a_malformed_rule_is_a_fault(text: str) -> None:
    with pytest.raises(SettingsFault, match=r"PENSTOCK_EGRESS_ALLOW: .* is not host:port"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_EGRESS_ALLOW": text})


def test_no_image_of_a_registry_is_accepted_by_default() -> None:
    assert load_settings(ExecutorSettings, BUS).images() == ImagePolicy()


def test_registries_and_tags_are_read() -> None:
    settings = load_settings(
        ExecutorSettings,
        {
            **BUS,
            "PENSTOCK_IMAGE_REGISTRIES": "GHCR.io/acme, localhost:05000,",
            "PENSTOCK_IMAGE_DIGESTS": "allow-tags",
            "PENSTOCK_IMAGE_LOCAL": "0",
        },
    )

    assert settings.images() == ImagePolicy(
        ("ghcr.io/acme", "localhost:5000"), require_digest=False, local=False
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ghcr.io,*.example.com", "entry 2: there are no wildcards"),
        ("acme", "entry 1: names no host"),
        ("user:hunter2@ghcr.io", "entry 1: is a host, or a host and a path, without scheme"),
    ],
)
def test_a_malformed_registry_is_a_fault_that_does_not_repeat_it(text: str, said: str) -> None:
    with pytest.raises(SettingsFault, match=f"PENSTOCK_IMAGE_REGISTRIES: .*{said}") as caught:
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_IMAGE_REGISTRIES": text})

    assert "hunter2" not in str(caught.value)


def test_digests_are_required_or_not() -> None:
    with pytest.raises(SettingsFault, match=r"PENSTOCK_IMAGE_DIGESTS: .*'allow-tags'"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_IMAGE_DIGESTS": "no"})


def test_running_without_isolation_has_to_be_allowed_by_name() -> None:
    asked = {**BUS, "PENSTOCK_SANDBOX": "process"}

    with pytest.raises(SettingsFault, match="PENSTOCK_ALLOW_UNSANDBOXED: must be 1"):
        load_settings(ExecutorSettings, asked)
    allowed = load_settings(ExecutorSettings, {**asked, "PENSTOCK_ALLOW_UNSANDBOXED": "1"})
    assert allowed.sandbox is SandboxKind.PROCESS


def test_keys_of_grants_are_read_and_named_where_they_are_wrong() -> None:
    key = open_signer(make_key()).key
    asked = {**BUS, "PENSTOCK_GRANT_KEYS": f"{written_key(key)}, "}

    assert load_settings(ExecutorSettings, asked).grant_keys == (key,)
    assert load_settings(ExecutorSettings, BUS).grant_keys == ()
    with pytest.raises(SettingsFault, match="PENSTOCK_GRANT_KEYS: key 1 is not"):
        load_settings(ExecutorSettings, {**BUS, "PENSTOCK_GRANT_KEYS": "nonsense"})


def test_capacity_follows_the_sandbox() -> None:
    inline = load_settings(ExecutorSettings, {**BUS, "PENSTOCK_SANDBOX": "inline"})
    given = load_settings(ExecutorSettings, {**BUS, "PENSTOCK_CAPACITY": "3"})
    default = load_settings(ExecutorSettings, BUS)

    assert inline.tasks_at_once() == 200
    assert given.tasks_at_once() == 3
    assert default.tasks_at_once() >= 2
    assert default.sandbox is SandboxKind.BUBBLEWRAP


# --- secrets ------------------------------------------------------------------------------------


async def test_secrets_come_from_the_environment_then_from_files(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("from file\n")
    (tmp_path / "token").write_text("other file")
    secrets = FirstOf(
        [EnvironmentSecrets({"PENSTOCK_SECRET_API_KEY": "from env"}), FolderSecrets(tmp_path)]
    )

    assert await secrets.find("api-key") == "from env"
    assert await secrets.find("token") == "other file"
    assert await secrets.find("absent") is None
    assert secrets.places("absent") == f"PENSTOCK_SECRET_ABSENT or {tmp_path}/absent"


@pytest.mark.parametrize("name", ["../secret", ".hidden", "/etc/passwd"])
async def test_a_secrets_name_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("outside")

    assert await FolderSecrets(tmp_path / "folder").find(name) is None


def test_the_longest_secret_is_taken_out_first() -> None:
    redact = Redactor(["abc", "abcdef", ""])

    assert redact.text("xabcdefx abc") == "x[redacted]x [redacted]"
    assert redact.value({"abc": ["abcdef", 1, None]}) == {"[redacted]": ["[redacted]", 1, None]}


def test_lines_of_a_long_secret_are_taken_out_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nbase64base64base64\n-----END KEY-----"

    assert Redactor([key]).text("  base64base64base64") == "  [redacted]"


# --- schemas ------------------------------------------------------------------------------------


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$\.type"):
        Shape({"type": "nonsense"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"type": "mvoe"}, "$.type: is none of move, copy"),
        ({"type": "move"}, "$: 'to' is a required property"),
        ({"type": "copy", "times": "SECRET"}, "$.times: is not of type integer"),
    ],
)
def test_a_fault_is_told_of_the_alternative_that_is_meant(value: dict[str, JsonValue], said: str):
    move = {"properties": {"type": {"const": "move"}}, "required": ["type", "to"]}
    times = {"type": {"const": "copy"}, "times": {"type": "integer"}}
    copy = {"properties": times, "required": ["type", "times"]}
    assert Shape({"oneOf": [move, copy]}).fault(value) == said


def test_a_fault_names_rule_and_place_and_no_value() -> None:
    shape = Shape({"properties": {"level": {"enum": ["low", "high"]}}})

    assert shape.fault({"level": "low"}) is None
    assert shape.fault({"level": "hunter2"}) == "$.level: does not fit `enum: ['low', 'high']`"
    assert Shape({}).fault("anything") is None
    assert Shape({"type": "object"}).fault([]) == "$: is not an object"
