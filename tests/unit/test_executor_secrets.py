"""Which secrets an agent is given: what its manifest names and an operator has granted."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from penstock_adapters.secrets import (
    EnvFileSecrets,
    EnvironmentSecrets,
    FirstOf,
    FolderSecrets,
    Told,
)
from penstock_adapters.secrets.env_file import read_lines
from penstock_adapters.system.logs import JsonFormatter
from penstock_adapters.telemetry.redaction import Redaction
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_core.redaction import Redactor
from penstock_executor.secret_grants import SecretGrant, read_secret_grants
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.ports.secrets import SecretUnusable
from penstock_runtime.settings import SettingsFault, load_settings
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld

VALUE = "a-token-of-some-length"
ASKING = PROBE.model_copy(update={"secrets": ("api-key", "other-key")})


# --- grants -------------------------------------------------------------------------------------


async def test_what_was_not_granted_is_refused_and_nothing_runs() -> None:
    values = {"api-key": VALUE, "other-key": VALUE}
    granted = (SecretGrant("probe", "api-key"), SecretGrant("another", "other-key"))
    async with ExecutorWorld(ASKING, secrets=values, secret_grants=granted) as world:
        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.SECRET_REFUSED, False)
    assert "not granted other-key" in result.error.message
    assert "PENSTOCK_AGENT_GRANTS=probe:other-key" in result.error.message
    assert world.sandbox.ran == []


async def test_nothing_is_granted_by_itself() -> None:
    async with ExecutorWorld(ASKING, secrets={"api-key": VALUE}, secret_grants=()) as world:
        result = await world.result()

    assert result.error is not None
    assert "PENSTOCK_AGENT_GRANTS=probe:api-key,probe:other-key" in result.error.message


async def test_what_was_granted_and_not_asked_for_is_not_given() -> None:
    manifest = PROBE.model_copy(update={"secrets": ("api-key",)})
    grants = (SecretGrant("probe", "api-key"), SecretGrant("probe", "other-key"))
    values = {"api-key": VALUE, "other-key": "never given to it"}
    async with ExecutorWorld(manifest, secrets=values, secret_grants=grants) as world:
        await world.result()

    assert dict(world.sandbox.ran[0].secrets) == {"API_KEY": VALUE}


async def test_an_optional_one_that_was_not_granted_is_left_out() -> None:
    asked = PROBE.to_data() | {"secrets": ["api-key", {"name": "other-key", "optional": True}]}
    manifest = AgentManifest.model_validate(asked)
    values, granted = {"api-key": VALUE, "other-key": VALUE}, (SecretGrant("probe", "api-key"),)
    async with ExecutorWorld(manifest, secrets=values, secret_grants=granted) as world:
        await world.result()

    assert dict(world.sandbox.ran[0].secrets) == {"API_KEY": VALUE}


@pytest.mark.parametrize(
    ("value", "why"), [("7 chars", "fewer than 8 characters"), ("with a \0 inside", "NUL")]
)
async def test_a_secret_that_could_not_be_kept_is_refused(value: str, why: str) -> None:
    manifest = PROBE.model_copy(update={"secrets": ("api-key",)})
    async with ExecutorWorld(manifest, secrets={"api-key": value}) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.SECRET_REFUSED
    assert why in result.error.message
    assert value not in result.error.message
    assert world.sandbox.ran == []


def test_grants_are_read_from_one_line_or_many() -> None:
    text = "notifier:slack-token, notifier:smtp # by mail\n# nobody else\nscanner:TOKEN\n"
    assert read_secret_grants(text) == (
        SecretGrant("notifier", "slack-token"),
        SecretGrant("notifier", "smtp"),
        SecretGrant("scanner", "TOKEN"),
    )
    assert read_secret_grants("") == ()


def test_every_malformed_grant_is_named_by_its_place_alone() -> None:
    text = "a:b, xoxb-hushhush, *:x, a:, a:../b, Ä:b"
    with pytest.raises(ValueError, match="entry 2 ") as told:
        read_secret_grants(text)
    assert [f"entry {number}" in str(told.value) for number in range(1, 7)] == [
        False, True, True, True, True, True,
    ]  # fmt: skip
    assert "hush" not in str(told.value)


# --- settings -----------------------------------------------------------------------------------


def faults_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsFault) as fault:
        load_settings(ExecutorSettings, {"PENSTOCK_NATS_URL": "nats://x", **environ})
    return fault.value.faults


def test_all_faults_of_secrets_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "env").touch()
    told = faults_of(
        PENSTOCK_AGENT_GRANTS="nonsense",
        PENSTOCK_SECRETS_ENV_FILE=str(tmp_path / "env"),
        PENSTOCK_WORKSPACE_ROOTS=str(tmp_path),
    )
    assert sorted(fault.partition(":")[0] for fault in told) == [
        "PENSTOCK_AGENT_GRANTS",
        "PENSTOCK_SECRETS_ENV_FILE",
    ]


def test_grants_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "grants").write_text("# who gets what\nnotifier:slack-token\nscanner:key\n")
    environ = {
        "PENSTOCK_NATS_URL": "nats://x",
        "PENSTOCK_AGENT_GRANTS_FILE": str(tmp_path / "grants"),
    }
    settings = load_settings(ExecutorSettings, environ)
    assert settings.agent_grants == (
        SecretGrant("notifier", "slack-token"),
        SecretGrant("scanner", "key"),
    )


# --- providers ----------------------------------------------------------------------------------


async def test_a_folder_follows_the_links_of_kubernetes(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "api-key").write_text(VALUE + "\n")
    (tmp_path / "api-key").symlink_to("..data/api-key")
    assert await FolderSecrets(tmp_path).find("api-key") == VALUE
    assert await FolderSecrets(tmp_path).find("..data") is None
    assert await FolderSecrets(tmp_path).find("none") is None


async def test_what_is_no_secret_in_a_folder_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opened for reading, it would wait for a writer for ever
    (tmp_path / "folder").mkdir()
    (tmp_path / "huge").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe secret")
    for name, why in {
        "pipe": "not a plain file",
        "folder": "not a plain file",
        "huge": "more than 65536 bytes",
        "binary": "not UTF-8",
    }.items():
        with pytest.raises(SecretUnusable, match=why) as told:
            await FolderSecrets(tmp_path).find(name)
        assert "secret" not in str(told.value).removeprefix(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_a_secret_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(VALUE)
    (tmp_path / "key").chmod(0)
    with pytest.raises(SecretUnusable, match="Permission denied"):
        await FolderSecrets(tmp_path).find("key")


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "agents.env"
    path.touch(mode=0o600)
    return path


async def test_a_file_of_variables(env_file: Path) -> None:
    put(
        env_file,
        "# for agents\nexport API_KEY=plain $HOME # all of it\n\n"
        "SINGLE='it''s \\n'\nDOUBLE=\"a\\nb\\\"c\\\\d\"\nEMPTY=\n",
    )
    secrets = EnvFileSecrets(env_file)
    found = {name: await secrets.find(name) for name in ("api-key", "single", "double", "empty")}
    assert found == {
        "api-key": "plain $HOME # all of it",
        "single": "it''s \\n",
        "double": 'a\nb"c\\d',
        "empty": None,
    }
    assert secrets.places("api-key") == f"API_KEY in {env_file}"
    put(env_file, "API_KEY=another\n")
    assert await secrets.find("api-key") == "another"


def test_every_malformed_line_is_named_by_its_number_alone() -> None:
    values, faults = read_lines("GOOD=1\nhush hush\nlower=2\nGOOD=3\nQUOTED='open\n=4")
    assert values == {"GOOD": "1"}
    assert [fault.split()[1] for fault in faults] == ["2", "3", "4", "5", "6"]
    assert not any("hush" in fault or "open" in fault for fault in faults)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
async def test_a_file_that_others_may_look_into_is_refused(env_file: Path, mode: int) -> None:
    put(env_file, f"API_KEY={VALUE}", mode)
    with pytest.raises(SecretUnusable, match="chmod 600"):
        await EnvFileSecrets(env_file).find("api-key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_of_somebody_else_is_refused(env_file: Path) -> None:
    os.chown(env_file, 12345, 12345)
    with pytest.raises(SecretUnusable, match="somebody else"):
        await EnvFileSecrets(env_file).find("api-key")


async def test_a_file_of_variables_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="does not exist"):
        await EnvFileSecrets(tmp_path / "none").find("api-key")


async def test_a_source_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "api-key").mkdir()
    secrets = FirstOf(
        [FolderSecrets(tmp_path), EnvironmentSecrets({"PENSTOCK_SECRET_API_KEY": VALUE})]
    )
    with pytest.raises(SecretUnusable):
        await secrets.find("api-key")


async def test_an_unusable_secret_refuses_the_task() -> None:
    class Broken:
        async def find(self, name: str) -> str | None:
            raise SecretUnusable(f"/run/secrets/{name} is not a plain file")

        def places(self, name: str) -> str:
            return name

    manifest = PROBE.model_copy(update={"secrets": ("api-key",)})
    async with ExecutorWorld(manifest, secrets=Broken()) as world:
        result = await world.result()
    assert result.error is not None
    assert result.error.code == Code.SECRET_REFUSED
    assert "api-key of probe: /run/secrets/api-key is not a plain file" in result.error.message


# --- what becomes known later -------------------------------------------------------------------


async def test_logs_and_spans_learn_a_secret_before_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(VALUE)
    formatter, redaction = JsonFormatter("executor", "one"), Redaction(())

    def learn(secret: str) -> None:
        formatter.learn(secret)
        redaction.learn(secret)

    secrets = Told(FolderSecrets(tmp_path), learn)
    assert secrets.places("key") == str(tmp_path / "key")
    assert await secrets.find("none") is None
    assert await secrets.find("key") == VALUE
    record = logging.LogRecord("x", logging.INFO, "x", 1, "egress to %s", (VALUE.upper(),), None)
    assert json.loads(formatter.format(record))["message"] == "egress to [redacted]"
    assert redaction.text(f"see {VALUE}") == "see [redacted]"


def test_so_many_secrets_are_remembered_and_no_more() -> None:
    redact = Redactor(())
    for number in range(6):
        redact = redact.also(f"secret number {number}", 4)
    assert redact.also("secret number 5", 4) is redact
    assert [redact.finds(f"secret number {number}") for number in range(6)] == [
        False, False, True, True, True, True,
    ]  # fmt: skip
