"""Backup, restore, recovery and rebuilding on servers that the state folder did not start."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_roles import role_url, service_of
from penstock_adapters.postgres.ledger import PostgresLedger
from tests.e2e.outside import INCLUDE, Guide, OutsideServers
from tests.e2e.test_external_servers import CHAIN, SETTINGS, GuidedStack, shell, up

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

DATABASE = "penstock_scheduler"


class Tools:
    """The verbs, on the servers of a guide."""

    def __init__(self, guide: Guide) -> None:
        """Name the servers as `penstock up` is told of them."""
        self._guide = guide
        servers = guide.servers
        self._named = (
            f"PENSTOCK_NATS_URL={servers.nats.url} PENSTOCK_POSTGRES_URL={servers.postgres.url}"
        )

    async def __call__(self, *line: str) -> Any:
        """Run a verb; gives its document."""
        return json.loads(await shell(self._guide, self._line(line) + " 2>/dev/null"))

    async def refused(self, *line: str) -> str:
        """Run a verb that has to fail; gives what it said."""
        return await shell(self._guide, f"! {self._line(line)}")

    def _line(self, line: tuple[str, ...]) -> str:
        return f"{self._named} penstock --json {shlex.join(line)}"


async def test_the_same_verbs_serve_servers_of_ones_own(tmp_path: Path) -> None:
    with OutsideServers.started(tmp_path / "theirs", Guide.config().replace(INCLUDE, "")) as of:
        guide = Guide(of, tmp_path / ".penstock", SETTINGS)
        tools, stack = Tools(guide), GuidedStack(guide, "4. Start")
        await shell(guide, guide.section("1. Write the credentials"))
        of.nats.configure(Guide.config())
        await shell(guide, guide.section("2. NATS"))
        await shell(guide, guide.section("3. PostgreSQL"))
        async with up(stack):
            await stack.register_builtin()
            await stack.apply("chain", CHAIN)
            kept = await stack.trigger("chain")
            await stack.ended(kept)
            written = await tools("backup", "kept.zip")
            lost = await stack.trigger("chain")
            await stack.ended(lost)

        folder = StateFolder.at(guide.home)
        role = service_of(DATABASE)
        password = SecretBook(folder.secrets)[postgres_secret(role)]
        url = role_url(of.postgres.url, role, password, DATABASE)
        async with PostgresLedger(url) as ledger:  # as a service on another machine holds it
            row = await ledger.acquire("run-0", "scheduler-9", 300.0)
            assert row is not None
            said = await tools.refused("rebuild", "streams", "--yes")
            assert "a service is at work" in said
            await ledger.release("run-0", row.epoch)

        assert (await tools("restore", "--yes", "kept.zip"))["events"] == written["events"]
        assert "penstock recover" in await tools.refused("rebuild", "streams", "--yes")
        recovered = await tools("recover", "--yes")
        assert recovered["plan"]["lost"]["runs_started"] == [lost]
        await tools("rebuild", "streams", "--yes")
        views = await tools("rebuild", "projections", "--yes")
        assert views["read_model_hash"] == views["store_hash"]
        async with up(stack):
            assert (await stack.ended(lost, 120.0))["run"]["status"] == "succeeded"
            await stack.ended(kept)
        assert (await tools("backup", "--rehearse", "kept.zip"))["faults"] == []
