"""What is generated for the servers and the services, without starting any."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import BusLogin, NatsServer, render_config
from penstock_adapters.embedded.postgres_roles import (
    ROLES_SQL,
    Database,
    all_roles,
    password_variable,
    scram_verifier,
)
from penstock_adapters.embedded.postgres_server import render_config as render_postgres
from penstock_adapters.embedded.service_environment import (
    ServiceAccess,
    environment,
    instance_of,
    kind_of,
)
from penstock_adapters.embedded.supervisor import LONGEST_BACKOFF_S, backoff_s, describe_exit
from penstock_contracts import subjects
from penstock_contracts.permissions import (
    OWNED_STREAMS,
    BusUser,
    Permissions,
    inbox_prefix,
    permission_table,
)
from penstock_contracts.subjects import Stream, matches

LOGIN = BusLogin("nats://127.0.0.1:4222", "executor", "secret", "_INBOX_executor")


def allowed(permissions: Permissions, subject: str) -> bool:
    def any_of(patterns: tuple[str, ...]) -> bool:
        return any(matches(pattern, subject) for pattern in patterns)

    return any_of(permissions.publish) and not any_of(permissions.publish_deny)


def publishers(subject: str) -> set[BusUser]:
    table = permission_table()
    return {user for user, permissions in table.items() if allowed(permissions, subject)} - {
        BusUser.ADMIN
    }


def test_every_stream_has_one_owner() -> None:
    owned = [stream for streams in OWNED_STREAMS.values() for stream in streams]
    assert sorted(owned) == sorted(Stream)
    for owner, streams in OWNED_STREAMS.items():
        for stream in streams:
            for verb in ("CREATE", "UPDATE", "PURGE"):
                assert publishers(f"$JS.API.STREAM.{verb}.{stream.value}") == {owner}


def test_nobody_may_delete_a_stream_or_a_message() -> None:
    for stream in Stream:
        assert publishers(f"$JS.API.STREAM.DELETE.{stream.value}") == set()
        assert publishers(f"$JS.API.STREAM.MSG.DELETE.{stream.value}") == set()


def test_decisions_and_votes_have_one_origin() -> None:
    run = subjects.run("default", "run-0", "r", "apply_decision")
    assert publishers(run) == {BusUser.APPROVAL}
    assert publishers(subjects.approval("default", "a", "cast_vote")) == {BusUser.GATEWAY}


def test_users_hear_their_own_inbox_and_the_executor_its_control() -> None:
    table = permission_table()
    for user, permissions in table.items():
        if user is BusUser.ADMIN:
            continue
        expected = {f"{inbox_prefix(user)}.>"}
        if user is BusUser.EXECUTOR:
            expected.add(subjects.control_filter().rpartition(".control.")[0] + ".control.>")
        assert set(permissions.subscribe) == expected


def test_a_pool_and_a_tenant_narrow_the_table() -> None:
    table = permission_table(tenant="acme", durable="pool-gpu")
    assert allowed(table[BusUser.TRIGGER], subjects.trigger("acme", "nats"))
    assert not allowed(table[BusUser.TRIGGER], subjects.trigger("default", "nats"))
    pull = "$JS.API.CONSUMER.MSG.NEXT.TASKS."
    assert allowed(table[BusUser.EXECUTOR], pull + "pool-gpu")
    assert not allowed(table[BusUser.EXECUTOR], pull + "pool-default")


def test_the_nats_configuration_listens_on_loopback_and_knows_only_our_users() -> None:
    passwords = {user: f"pw-{user.value}" for user in BusUser}
    text = render_config(4321, Path('/a "b"/store'), passwords, permission_table())
    assert 'listen: "127.0.0.1:4321"' in text
    assert f"max_payload: {12 * 1024 * 1024}" in text
    assert 'store_dir: "/a \\"b\\"/store"' in text
    assert "http" not in text
    lines = re.findall(r'^ +(\{"user".*)$', text, re.MULTILINE)
    users = [json.loads(line.rstrip(",")) for line in lines]
    assert [user["user"] for user in users] == [user.value for user in BusUser]
    scheduler = users[0]
    assert scheduler["password"] == "pw-scheduler"
    assert scheduler["permissions"]["publish"]["deny"]
    assert "deny" not in users[1]["permissions"]["publish"]


def test_every_role_takes_its_password_from_its_own_variable() -> None:
    script = ROLES_SQL.read_text()
    for role in all_roles():
        short = role.removeprefix("penstock_")
        assert f"\\getenv {short}_password {password_variable(role)}\n" in script
        assert f"('{role}', :'{short}_password')" in script


def test_postgres_listens_on_loopback_only_and_is_durable() -> None:
    text = render_postgres(5433, Path("/it's/pg_hba.conf"), durable=True)
    for line in (
        "listen_addresses = '127.0.0.1'",
        "unix_socket_directories = ''",
        "password_encryption = scram-sha-256",
        "hba_file = '/it''s/pg_hba.conf'",
        "fsync = on",
        "synchronous_commit = on",
    ):
        assert line in text.splitlines()
    assert "fsync = off" in render_postgres(5433, Path("/x"), durable=False)


def test_a_verifier_proves_its_password_and_no_other() -> None:
    kind, salt_part, keys = scram_verifier("correct").split("$")
    assert kind == "SCRAM-SHA-256"
    iterations, salt = salt_part.split(":")
    stored, server = (base64.b64decode(key) for key in keys.split(":"))

    def keys_of(password: str) -> tuple[bytes, bytes]:
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(salt), int(iterations)
        )
        client = hmac.digest(salted, b"Client Key", "sha256")
        return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")

    assert keys_of("correct") == (stored, server)
    assert keys_of("wrong") != (stored, server)
    assert scram_verifier("correct") != scram_verifier("correct")


def test_urls_of_roles_keep_the_server_and_its_options() -> None:
    database = Database("postgresql://boss:p%40ss@db.example:6432/postgres?sslmode=require", Path())
    assert database.url("auditor", "a/b", "penstock_gateway") == (
        "postgresql://auditor:a%2Fb@db.example:6432/penstock_gateway?sslmode=require"
    )


def test_a_login_is_written_as_a_document(tmp_path: Path) -> None:
    folder = StateFolder.at(tmp_path)
    folder.create()
    server = NatsServer(folder, SecretBook(folder.credentials / "secrets.json"), 4222, "default")
    document = json.loads(server.login(BusUser.TRIGGER).document())
    assert document["url"] == server.url == "nats://127.0.0.1:4222"
    assert document["inbox_prefix"] == "_INBOX_trigger"
    assert server.store.parent == folder.nats


def test_a_service_is_told_its_own_access_only() -> None:
    access = ServiceAccess("executor-1", "default", LOGIN, ops_port=1, http_port=1)
    inherited = {
        "PATH": "/bin",
        "PENSTOCK_POSTGRES_URL": "postgresql://administrator",
        "PENSTOCK_TASK_SECRET": "leak",
        "PENSTOCK_GRANT_KEY": "leak",
        "PENSTOCK_GRANT_KEY_FILE": "leak",
        "PENSTOCK_TOKEN": "leak",
        "PENSTOCK_SECRET_SLACK_TOKEN": "leak",
        "PENSTOCK_GRACE_S": "3",
    }
    told = environment(access, inherited)
    assert told["PENSTOCK_NATS_PASSWORD"] == "secret"
    assert told["PENSTOCK_GRACE_S"] == "3"
    assert told["PATH"] == "/bin"
    assert "leak" not in told.values()
    assert "PENSTOCK_POSTGRES_URL" not in told


def test_who_runs_agents_is_told_their_secrets() -> None:
    access = ServiceAccess(
        "executor-1", "default", LOGIN, ops_port=1, http_port=1, agent_secrets=True
    )
    told = environment(access, {"PENSTOCK_SECRET_SLACK_TOKEN": "hush"})
    assert told["PENSTOCK_SECRET_SLACK_TOKEN"] == "hush"


def test_further_instances_are_of_their_services_kind() -> None:
    assert kind_of("executor-2") == kind_of("executor")
    assert instance_of("executor-2") == "executor-2"
    assert instance_of("webhook-gateway") == "webhook-gateway-1"
    with pytest.raises(KeyError):
        kind_of("janitor")


def test_backoff_doubles_up_to_its_bound() -> None:
    assert [backoff_s(n) for n in range(5)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.8])
    assert backoff_s(50) == LONGEST_BACKOFF_S


def test_an_exit_is_described_for_people() -> None:
    assert describe_exit(-9) == "ended by signal SIGKILL"
    assert describe_exit(3) == "exited with status 3"
