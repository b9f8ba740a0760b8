"""Tools of an operator where each process was handed its own login: no user `executor` is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.deployment import Place, write_deployment
from penstock_adapters.embedded.faults import OutsideServerError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.outside_nats import prepare_bus
from penstock_adapters.embedded.service_environment import NATS_URL_VARIABLE
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_contracts.permissions import BusUser
from tests.e2e.outside import OutsideNats

pytestmark = [pytest.mark.real, pytest.mark.timeout(180), pytest.mark.asyncio]

POOLS = ("default", "egress")
CONFIG = """
max_payload: 12582912
jetstream {store_dir: "STORE/jetstream", max_file_store: 68719476736}
accounts {include ./nats-account.conf}
"""


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    tmp_path.chmod(0o755)  # PostgreSQL runs as somebody else where we are root
    folder = StateFolder.at(tmp_path / "state")
    folder.create()
    return folder


async def test_tools_log_in_as_owners_alone(tmp_path: Path, folder: StateFolder) -> None:
    nats = OutsideNats(tmp_path / "theirs", CONFIG)
    place = Place(nats.url, "postgresql://db:5432", POOLS, "default")
    write_deployment(tmp_path / "out", place, folder, SecretBook(folder.secrets))
    account = next((tmp_path / "out" / "nats").rglob("nats-account.conf"))
    assert "executor-default" in account.read_text()
    shutil.copy(account, nats.folder)
    nats.start()
    try:
        stack = EmbeddedStack(folder.root, {}, environ={NATS_URL_VARIABLE: nats.url})
        await stack.start()
        try:
            assert stack.endpoints.logins[BusUser.SCHEDULER].url == nats.url
            with pytest.raises(OutsideServerError, match="uthoriz"):
                await prepare_bus(stack.endpoints.logins, None, users=[BusUser.EXECUTOR])
        finally:
            await stack.stop()
    finally:
        nats.kill()
