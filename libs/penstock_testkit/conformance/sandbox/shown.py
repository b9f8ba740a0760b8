"""What a task is given and what it reaches: environment, secrets, mounts, egress."""

# ruff: noqa: D102  (the name of a test is its documentation)
from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from penstock_runtime.ports.sandbox import (
    EgressRule,
    ExitReason,
    Mount,
    Sandbox,
)
from penstock_testkit.conformance.sandbox.tasks import BuildSpec, SandboxTasks
from penstock_testkit.sandbox_probes import (
    ASK_PROXY,
    Log,
    processes_marked,
)


class Shown(SandboxTasks):
    """What a task is given and what it reaches: environment, secrets, mounts, egress."""

    async def test_the_environment_is_clean(
        self, sandbox: Sandbox, spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PENSTOCK_TEST_HOST_SECRET", "of the host")
        task = replace(
            spec("give(dict(os.environ))"),
            env={"PLAIN": "a b"},
            # penstock: ignore[secret:hard-coded-credential, hardcoded-secret] -- a sample
            secrets={"TOKEN": "s3cr3t\n'x"},
        )
        result = await self.finished(sandbox, task, Log())
        seen = json.loads(result.output or b"{}")
        assert "PENSTOCK_TEST_HOST_SECRET" not in seen
        assert (seen["PLAIN"], seen["TOKEN"]) == ("a b", "s3cr3t\n'x")
        assert seen["PYTHONDONTWRITEBYTECODE"] == "1"
        assert "s3cr3t" not in repr(task)

    async def test_secrets_are_on_no_command_line(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        log, secret = Log(), f"secret-{uuid4().hex}"
        task = replace(spec("print('up', flush=True); time.sleep(600)"), secrets={"TOKEN": secret})
        running = asyncio.create_task(sandbox.run(task, log))
        await log.saw("up")
        assert processes_marked(secret) == []
        await self.cancelled(running)

    async def test_mounts_are_shown_as_asked_for(
        self, sandbox: Sandbox, spec: BuildSpec, tmp_path: Path
    ) -> None:
        self.needs_isolation()
        for name in ("read", "write"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "there.txt").write_text(name)
        code = (
            "seen = [open(f'/penstock/{n}/there.txt').read() for n in ('src', 'out/deep')]\n"
            "open('/penstock/out/deep/made.txt', 'w').write('made')\n"
            "open('/penstock/out/deep/there.txt', 'a').write(' more')\n"
            "seen.append(open('/penstock/agent/shipped.txt').read())\n"
            "for path in ('/penstock/src/made.txt', '/penstock/agent/made.txt',\n"
            "             '/penstock/input.json', '/usr/made.txt', '/etc/made.txt'):\n"
            "  try: open(path, 'w'); seen.append(path)\n  except OSError: pass\n"
            "give(seen)"
        )
        mounts = (
            Mount(tmp_path / "read", "/penstock/src"),
            Mount(tmp_path / "write", "/penstock/out/deep", writable=True),
        )
        result = await self.finished(sandbox, replace(spec(code), mounts=mounts), Log())
        assert json.loads(result.output or b"null") == ["read", "write", "shipped"]
        made = tmp_path / "write" / "made.txt"
        assert made.read_text() == "made"
        assert made.stat().st_uid == os.geteuid()
        assert (tmp_path / "write" / "there.txt").read_text() == "write more"

    @pytest.mark.parametrize(
        "target", ["/etc/x", "/penstock/../etc", "/penstock/work", "/penstock/"]
    )
    async def test_a_mount_elsewhere_is_refused(
        self, sandbox: Sandbox, spec: BuildSpec, tmp_path: Path, target: str
    ) -> None:
        self.needs_isolation()
        task = replace(spec("pass"), mounts=(Mount(tmp_path, target),))
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.START_FAILED

    @pytest.mark.parametrize("form", ["plain", "connect"])
    async def test_egress_goes_where_it_is_allowed(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int, form: str
    ) -> None:
        self.needs_isolation()
        task = replace(
            spec(ASK_PROXY, form, "127.0.0.1", str(greeter)),
            egress=(EgressRule("127.0.0.1", greeter),),
        )
        result = await self.finished(sandbox, task, Log())
        assert "hello from outside" in json.loads(result.output or b'""')

    @pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "169.254.169.254", "::1", "0"])
    async def test_egress_goes_nowhere_else(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int, host: str
    ) -> None:
        self.needs_isolation()
        task = replace(
            spec(ASK_PROXY, "connect", host, str(greeter)),
            egress=(EgressRule("127.0.0.1", greeter),),
        )
        result = await self.finished(sandbox, task, Log())
        assert json.loads(result.output or b'""').startswith("HTTP/1.1 403")

    async def test_without_egress_there_is_no_socket_and_no_network(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int
    ) -> None:
        self.needs_isolation()
        code = (
            "import socket; found = [os.path.exists('/penstock/egress.sock')]\n"
            f"try: socket.create_connection(('127.0.0.1', {greeter}), 2); found.append('host')\n"
            "except OSError: pass\n"
            "try: found.append(sorted(name for _, name in socket.if_nameindex()))\n"
            "except OSError: found.append(['lo'])\n"
            "give(found)"
        )
        result = await self.finished(sandbox, spec(code), Log())
        assert json.loads(result.output or b"null") == [False, ["lo"]]
