"""The command line at a gate, against a gateway whose approval service decides as the core does."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock_cli.app import run as run_line
from penstock_cli.faults import ExitCode
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import token_id
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import DEFAULT_TENANT
from tests.integration.gated_world import BINDING, FORM, GATE, Deciding, a_gate
from tests.integration.gateway_world import Said, World, serving

SHORT = BINDING.digest.removeprefix("sha256:")[:12]
ANSWERED_WITHIN_S = 30.0


@dataclass(slots=True)
class Line:
    """A command line whose gateway is a world's."""

    url: str
    capsys: pytest.CaptureFixture[str]

    async def __call__(self, *arguments: str, who: str = "ada") -> tuple[int, str]:
        """Run it; gives the exit code and all it printed."""
        token = f"secret-{DEFAULT_TENANT}-{who}"
        whole = ["--url", self.url, "--token", token, *arguments]
        code = await asyncio.to_thread(run_line, whole)
        said = self.capsys.readouterr()
        return code, said.out + said.err

    async def told(self, *arguments: str, who: str = "ada") -> Any:
        """Run it for scripts; gives its JSON."""
        code, said = await self(*arguments, "--json", who=who)
        assert code == 0, said
        return json.loads(said)


@asynccontextmanager
async def at_a_gate(
    capsys: pytest.CaptureFixture[str], **policy: Any
) -> AsyncGenerator[tuple[Line, World, Deciding]]:
    world, service, _ = a_gate(**policy)
    async with serving(world) as client:
        yield Line(str(client.make_url("")), capsys), world, service


async def test_gates_that_look_alike_are_told_apart(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys, quorum=2) as (line, _, _):
        code, said = await line("approvals", "list")
        assert code == 0
        for text in (GATE[:8], SHORT, "repository_path=/srv/shop", "1 file", "2 of 2"):
            assert text in said


async def test_showing_ends_with_what_to_say(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys) as (line, _, _):
        code, said = await line("approvals", "show", GATE[:8])
        assert code == 0
        assert "+new" in said
        assert f"penstock approvals approve {GATE[:8]} --digest {SHORT}" in said
        assert (await line.told("approvals", "show", GATE))["digest"] == BINDING.digest


async def test_two_people_approve_what_they_saw(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys, quorum=2) as (line, _, service):
        code, said = await line("approvals", "approve", GATE[:8], "--digest", SHORT, "-r", "ok")
        assert code == 0
        assert "lacks 1 of 2 approvals" in said
        code, said = await line("approvals", "approve", GATE[:8])
        assert (code, "already_voted" in said) == (ExitCode.REFUSED, True)
        code, said = await line("approvals", "approve", GATE[:8], who="bob")
        assert code == 0
        assert "approved" in said
        assert [vote.digest for vote in service.votes] == [BINDING.digest] * 3


async def test_a_digest_of_something_else_approves_nothing(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys) as (line, _, service):
        code, said = await line("approvals", "approve", GATE, "--digest", "00000000")
        assert code == ExitCode.REFUSED
        assert f"but {SHORT} is proposed" in said
        assert service.votes == []
        code, said = await line("approvals", "approve", GATE, "--digest", "0" * 64)
        assert code == ExitCode.REFUSED
        assert "not_proposed" in said
        assert SHORT in said
        assert (await line.told("approvals", "show", GATE))["status"] == "pending"


async def test_answers_go_with_the_approval(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys, form=FORM) as (line, _, _):
        code, said = await line("approvals", "approve", GATE, "--answer", "hosts=x")
        assert code == ExitCode.USAGE
        code, said = await line("approvals", "approve", GATE, "-a", "hosts=2")
        assert code == ExitCode.REFUSED
        assert "invalid_answers" in said
        told = await line.told("approvals", "approve", GATE, "-a", "hosts=2", "-a", "window=5")
        assert told["answers"] == {"hosts": 2, "window": "5"}


async def test_a_push_back_needs_feedback_and_a_node_that_may_be_asked(
    capsys: pytest.CaptureFixture[str],
):
    async with at_a_gate(capsys, push_back=("patch", "scan")) as (line, _, _):
        code, said = await line("approvals", "push-back", GATE)
        assert (code, "--reason" in said) == (ExitCode.USAGE, True)
        code, said = await line("approvals", "push-back", GATE, "-r", "pin it")
        assert (code, "no_push_back" in said) == (ExitCode.REFUSED, True)
        code, said = await line("approvals", "push-back", GATE, "-r", "pin it", "--to", "scan")
        assert (code, "pushed_back" in said) == (0, True)
        code, said = await line("approvals", "show", GATE)
        assert "by ada, back to scan: pin it" in said
        run_ = (await line.told("approvals", "show", GATE))["run_id"]
        code, said = await line("runs", "show", run_)
        assert "pushed back by ada to scan: pin it" in said


async def test_a_rejection_says_what_it_saw_if_asked_to(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys) as (line, _, service):
        code, said = await line("approvals", "reject", GATE, "-r", "no", "--digest", "1" * 64)
        assert (code, "not_proposed" in said) == (ExitCode.REFUSED, True)
        code, said = await line("approvals", "reject", GATE, "-r", "no")
        assert (code, "rejected" in said) == (0, True)
        assert service.votes[-1].digest is None


# --- on a terminal ------------------------------------------------------------------------------


async def on_a_terminal(line: Line, home: Path, typed: str, *arguments: str) -> tuple[int, str]:
    """Run the line in a process with a terminal, and type when it asks."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PENSTOCK_HOME": str(home), "TERM": "xterm", "COLUMNS": "100"}
    token = f"secret-{DEFAULT_TENANT}-ada"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock_cli", "--url", line.url, "--token", token, *arguments,
        stdin=theirs, stdout=theirs, stderr=theirs, env=environ,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, typed.encode())
    said = bytearray()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            said.extend(os.read(ours, 65_536))
        except OSError:  # the other end is closed
            loop.remove_reader(ours)
            ended.set()

    loop.add_reader(ours, read)
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await ended.wait()
            return await process.wait(), said.decode()
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_on_a_terminal_approving_shows_and_asks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    async with at_a_gate(capsys, form=FORM) as (line, _, service):
        code, said = await on_a_terminal(line, tmp_path, "5\nn\n", "approvals", "approve", GATE)
        assert code == ExitCode.REFUSED
        assert "\x1b[32m+new" in said
        assert "nothing was decided" in said
        assert service.votes == []
        code, said = await on_a_terminal(line, tmp_path, "5\ny\n", "approvals", "approve", GATE)
        assert code == 0
        assert (service.votes[0].answers, service.votes[0].digest) == (
            {"window": "5"}, BINDING.digest,
        )  # fmt: skip


async def test_whoever_says_the_digest_has_seen_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    async with at_a_gate(capsys) as (line, _, service):
        arguments = ("approvals", "approve", GATE, "--digest", SHORT)
        code, said = await on_a_terminal(line, tmp_path, "", *arguments)
        assert code == 0
        assert "Approve exactly this?" not in said
        assert len(service.votes) == 1


# --- tokens -------------------------------------------------------------------------------------


async def test_tokens_are_issued_listed_and_revoked(capsys: pytest.CaptureFixture[str]):
    async with at_a_gate(capsys) as (line, world, _):
        world.token("root", "admin")

        def issue(envelope: Envelope) -> list[Said]:
            command = trigger.IssueToken.model_validate(envelope.data)
            told = trigger.TokenIssued(
                tenant=DEFAULT_TENANT, name=command.name, sha256=command.sha256,
                roles=command.roles, groups=command.groups,
            )  # fmt: skip
            return [(CATALOG_PARTITION, token_id(DEFAULT_TENANT, command.name), told)]

        def revoke(envelope: Envelope) -> list[Said]:
            name = trigger.RevokeToken.model_validate(envelope.data).name
            told = trigger.TokenRevoked(tenant=DEFAULT_TENANT, name=name)
            return [(CATALOG_PARTITION, token_id(DEFAULT_TENANT, name), told)]

        world.scripts[trigger.IssueToken.TYPE] = issue
        world.scripts[trigger.RevokeToken.TYPE] = revoke
        await world.settled()
        words = ("tokens", "issue", "gil", "--role", "viewer", "--role", "approver")
        made = await line.told(*words, "--group", "release", who="root")
        assert (made["roles"], made["groups"]) == (["viewer", "approver"], ["release"])
        code, said = await line("tokens", "issue", "kim", "--role", "viewer", who="root")
        assert (code, "pst_" in said, "not shown again" in said) == (0, True, True)
        code, said = await line("tokens", "list", who="root")
        assert "viewer, approver" in said
        assert "release" in said
        assert "pst_" not in said
        assert "gil" in (await line("tokens", "revoke", "gil", who="root"))[1]
        assert "gil" not in (await line("tokens", "list", who="root"))[1]
        code, said = await line("tokens", "issue", "x", "--role", "root", who="root")
        assert code == ExitCode.REFUSED
        code, said = await line("tokens", "list", who="ada")
        assert code == ExitCode.DENIED
