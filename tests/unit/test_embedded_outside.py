"""What is written for servers of one's own, and how their URLs are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penstock_adapters.embedded.credentials import SecretBook, nats_secret
from penstock_adapters.embedded.faults import OutsideServerError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import BusLogin
from penstock_adapters.embedded.outside_nats import USERS, has_login, outside_logins, write_account
from penstock_adapters.embedded.outside_postgres import prepare_outside, write_roles_script
from penstock_adapters.embedded.postgres_roles import ROLES_SQL, all_roles
from penstock_adapters.nats.streams import MAX_BYTES, MIB, UNBOUNDED
from penstock_cli.access import Access
from penstock_cli.app import run
from penstock_cli.stack_view import what_to_try
from penstock_contracts.permissions import BusUser, permission_table

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/your-own-servers.md"


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder.at(tmp_path / "home")
    folder.create()
    return folder


@pytest.fixture
def secrets(folder: StateFolder) -> SecretBook:
    return SecretBook(folder.secrets)


def test_a_login_is_used_by_all_and_kept_apart_from_the_address(secrets: SecretBook) -> None:
    logins = outside_logins("nats://me:p%40ss@bus.example:4222", secrets)
    assert set(logins) == set(BusUser)
    gateway = logins[BusUser.GATEWAY]
    assert gateway == BusLogin("nats://bus.example:4222", "me", "p@ss", "_INBOX_gateway")


def test_without_a_login_each_is_itself_and_nobody_is_the_administrator(
    secrets: SecretBook,
) -> None:
    logins = outside_logins("nats://bus.example:4222", secrets)
    assert set(logins) == set(USERS) == set(BusUser) - {BusUser.ADMIN}
    assert logins[BusUser.TRIGGER].user == "trigger"
    assert logins[BusUser.TRIGGER].password == secrets[nats_secret("trigger")]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("nats://u:p@a:1,nats://u:p@b:2", "nats://a:1,nats://b:2"),
        ("tls://u:p@a, tls://b:2 ,", "tls://a,tls://b:2"),
        ("u:p@a:1,b:2", "nats://a:1,nats://b:2"),
        ("nats://u:p@[::1]:4222", "nats://[::1]:4222"),
    ],
)
def test_no_address_of_several_servers_keeps_a_password(
    secrets: SecretBook, url: str, address: str
) -> None:
    login = outside_logins(url, secrets)[BusUser.SCHEDULER]
    assert (login.url, login.user, login.password) == (address, "u", "p")
    assert has_login(url)
    assert not has_login(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://hidden:hidden@bus",
        "nats://hidden-token@bus:4222",
        "nats://",
        "nats://[hidden",
        ",",
        "nats://a:hidden\u2100@bus",
    ],
)
def test_what_is_no_address_of_a_bus_is_refused_without_repeating_it(
    secrets: SecretBook, url: str
) -> None:
    with pytest.raises(OutsideServerError, match=r"^PENSTOCK_NATS_URL") as caught:
        outside_logins(url, secrets)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5432",
        "host=db password=hidden",
        "mysql://a:hidden@db",
        "postgresql://[x",
        "postgresql://a:hidden\u2100@db",
    ],
)
def test_what_is_no_address_of_a_store_is_refused_without_repeating_it(
    folder: StateFolder, secrets: SecretBook, url: str
) -> None:
    with pytest.raises(OutsideServerError, match=r"^PENSTOCK_POSTGRES_URL") as caught:
        prepare_outside(url, folder, secrets)
    assert "hidden" not in str(caught.value)


def test_the_account_has_the_users_with_their_permissions_and_no_administrator(
    folder: StateFolder, secrets: SecretBook
) -> None:
    write_account(folder, secrets, "acme")
    text = folder.nats_account.read_text()
    assert folder.nats_account.stat().st_mode & 0o777 == 0o600
    assert "\nPENSTOCK {" in re.sub(r"^ +", "", text, flags=re.MULTILINE)
    lines = re.findall(r'^ +(\{"user".*)$', text, re.MULTILINE)
    users = {user["user"]: user for user in (json.loads(line.rstrip(",")) for line in lines)}
    assert set(users) == {user.value for user in USERS}
    table = permission_table("acme")
    for user in USERS:
        given = users[user.value]
        assert given["password"] == secrets[nats_secret(user.value)]
        assert tuple(given["permissions"]["publish"]["allow"]) == table[user].publish
        assert ">" not in table[user].publish


def test_the_script_of_the_roles_holds_verifiers_and_no_password(
    folder: StateFolder, secrets: SecretBook
) -> None:
    write_roles_script(folder, secrets)
    script = folder.postgres_roles.read_text()
    assert folder.postgres_roles.stat().st_mode & 0o777 == 0o600
    assert "getenv" not in script
    assert len(re.findall(r"^\\set \w+_password 'SCRAM-SHA-256\$", script, re.MULTILINE)) == len(
        all_roles()
    )
    for role in all_roles():
        assert secrets[f"postgres.{role}"] not in script
    tail = ROLES_SQL.read_text().rpartition("\\getenv")[2].partition("\n")[2]
    assert script.endswith(tail)


def test_a_second_prepare_keeps_the_credentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "a place"
    folder = StateFolder.at(home)
    assert run(["prepare", "--home", str(home), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"nats": str(folder.nats_account), "postgres": str(folder.postgres_roles)}
    before = folder.nats_account.read_text(), folder.secrets.read_text()
    assert run(["prepare", "--home", str(home)]) == 0
    assert (folder.nats_account.read_text(), folder.secrets.read_text()) == before
    text = capsys.readouterr().out
    assert f"psql -X -f '{folder.postgres_roles}'" in text
    assert f"'{folder.nats_account}'" in text


def test_a_shared_login_is_not_said_to_be_narrow(tmp_path: Path) -> None:
    access = Access(home=tmp_path)
    narrow = what_to_try(access, "http://g", {"PENSTOCK_NATS_URL": "nats://bus:4222"})
    assert "may publish triggers, nothing else" in narrow
    shared = what_to_try(access, "http://g", {"PENSTOCK_NATS_URL": "nats://u:p@bus:4222"})
    assert "the login of PENSTOCK_NATS_URL, which all services share" in shared


def test_the_guide_says_how_much_room_the_streams_reserve() -> None:
    reserved = sum(bound for bound in MAX_BYTES.values() if bound != UNBOUNDED)
    assert f"{reserved / MIB / 1024:.2f} GiB of file storage" in GUIDE.read_text()
