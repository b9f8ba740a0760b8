"""What each process of a deployment is handed: its own secrets, nobody else's, and all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_adapters.embedded.credentials import SecretBook, nats_secret, postgres_secret
from penstock_adapters.embedded.deployment import (
    ADMINISTRATOR,
    Place,
    bus_users,
    executor_inbox,
    renew_logins,
    write_deployment,
)
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_roles import all_roles
from penstock_approval.settings import ApprovalSettings
from penstock_cli.access import Access
from penstock_cli.app import run
from penstock_contracts.permissions import BusUser
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.settings import Settings, load_settings, variable
from penstock_scheduler.settings import SchedulerSettings
from penstock_webhook_gateway.settings import GatewaySettings

POOLS = ("default", "egress")
PLACE = Place("nats://nats:4222", "postgresql://db:5432", POOLS, "default")
MODELS: dict[str, type[Settings]] = {
    "scheduler": SchedulerSettings,
    "approval": ApprovalSettings,
    "webhook-gateway": GatewaySettings,
    "executor-default": ExecutorSettings,
    "executor-egress": ExecutorSettings,
}


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder.at(tmp_path / "home")
    folder.create()
    return folder


@pytest.fixture
def hand_out(folder: StateFolder, tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Writes the folders; gives each file's text by its path."""

    def write() -> dict[str, str]:
        target = tmp_path / "out"
        write_deployment(target, PLACE, folder, SecretBook(folder.secrets))
        files = (path for path in target.rglob("*") if path.is_file())
        return {str(path.relative_to(target)): path.read_text() for path in files}

    return write


def test_each_process_starts_from_its_folder_alone(
    hand_out: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    hand_out()
    for name, model in MODELS.items():
        environ = {"PENSTOCK_NATS_URL": PLACE.nats_url, "PENSTOCK_NATS_USER": name}
        for file in (tmp_path / "out" / name).iterdir():
            field = file.name.replace("-", "_")
            if field in model.model_fields or f"{field}_file" in model.model_fields:
                environ[f"{variable(field)}_FILE"] = str(file)
            else:
                pytest.fail(f"{name} is handed {file.name}, which no setting reads")
        load_settings(model, environ)


def test_no_secret_is_handed_to_two(hand_out: Callable[[], dict[str, str]]) -> None:
    own = {
        name: text
        for name, text in hand_out().items()
        # The servers know everybody's logins, and the administrator issues tokens.
        if not name.startswith(("nats/", "postgres/", f"{ADMINISTRATOR}/"))
        and not name.endswith("/grant-keys")  # public
    }
    assert len(set(own.values())) == len(own)


def test_the_executors_of_a_pool_pull_their_own_tasks_and_hear_their_own_answers() -> None:
    users = bus_users(POOLS, "default")
    assert BusUser.EXECUTOR.value not in users
    assert BusUser.ADMIN.value not in users
    for pool, other in (POOLS, POOLS[::-1]):
        mine = users[f"executor-{pool}"]
        assert f"$JS.API.CONSUMER.MSG.NEXT.TASKS.pool-{pool}" in mine.publish
        assert f"{executor_inbox(pool)}.>" in mine.subscribe
        told = " ".join((*mine.publish, *mine.subscribe))
        assert f"pool-{other}" not in told
        assert executor_inbox(other) not in told
        assert "_INBOX_executor.>" not in told


def test_the_servers_are_told_what_the_processes_say(
    hand_out: Callable[[], dict[str, str]],
) -> None:
    files = hand_out()
    account = files["nats/nats-account.conf"]
    for name in ("scheduler", "approval", "executor-default", "executor-egress"):
        entry = {"user": name, "password": files[f"{name}/nats-password"].strip()}
        assert json.dumps(entry)[1:-1] in account
    roles = files["postgres/roles.sql"]
    assert set(re.findall(r"^ALTER ROLE (\w+) PASSWORD 'SCRAM", roles, re.MULTILINE)) == set(
        all_roles()
    )
    password = re.search(r"://\w+:(.*)@db", files["scheduler/postgres-url"])
    assert password
    assert password[1] not in roles  # verifiers only


def test_writing_again_keeps_every_secret(hand_out: Callable[[], dict[str, str]]) -> None:
    before, after = hand_out(), hand_out()
    before.pop("postgres/roles.sql")  # verifiers are salted
    after.pop("postgres/roles.sql")
    assert before == after


def test_renewing_changes_logins_and_nothing_that_work_rests_on(
    hand_out: Callable[[], dict[str, str]], folder: StateFolder
) -> None:
    before = hand_out()
    renew_logins(SecretBook(folder.secrets), POOLS)
    after = hand_out()
    same = {name.rpartition("/")[2] for name in before if before[name] == after[name]}
    assert same == {
        "administrator-password",
        "admin-token",
        "admin.token",
        "grant-key",
        "grant-keys",
        "task-secret",
    }
    secrets = SecretBook(folder.secrets)
    assert secrets[nats_secret("scheduler")] == after["scheduler/nats-password"].strip()
    assert (
        secrets[postgres_secret(ADMINISTRATOR)] == after["postgres/administrator-password"].strip()
    )


def test_the_command_line_finds_its_documents(
    hand_out: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    hand_out()
    access = Access(home=tmp_path / "out" / ADMINISTRATOR, given_url="http://gateway:8080")
    assert access.token()
    assert access.trigger_login()["user"] == "trigger"
    assert access.auditor_url("penstock_scheduler").endswith("@db:5432/penstock_scheduler")


@pytest.mark.parametrize("url", ["", "nats://me:secret@nats:4222"])
def test_handing_out_needs_addresses_without_a_login(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PENSTOCK_POSTGRES_URL", PLACE.postgres_url)
    monkeypatch.setenv("PENSTOCK_NATS_URL", url)
    assert run(["prepare", "--hand-out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "PENSTOCK_NATS_URL" in told
    assert "secret" not in told
    assert not (tmp_path / "out").exists()


def test_the_command_hands_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PENSTOCK_POSTGRES_URL", PLACE.postgres_url)
    monkeypatch.setenv("PENSTOCK_NATS_URL", PLACE.nats_url)
    line = ["prepare", "--json", "--hand-out", str(tmp_path / "out"), "--pool", "gpu"]
    assert run(line) == 0
    first = json.loads(capsys.readouterr().out)
    assert "executor-gpu" in first
    assert "executor-default" not in first
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    password = (tmp_path / "out/executor-gpu/nats-password").read_text()
    assert run([*line, "--renew"]) == 0
    assert (tmp_path / "out/executor-gpu/nats-password").read_text() != password
    assert run(["prepare", "--renew"]) == 2
