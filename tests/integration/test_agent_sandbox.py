"""Both agents inside the real sandbox: read-only, no network but the executor's own proxy."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock_runtime.ports.sandbox import EgressRule, Limits, Mount, SandboxSpec
from penstock_testkit.sandbox_probes import Log
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

AGENTS = Path(__file__).parents[2] / "agents"
MIB = 1024 * 1024
LIMITS = Limits(
    memory_bytes=512 * MIB,
    processes=64,
    cpu_s=60,
    wall_s=60,
    output_bytes=64 * 1024,
    log_bytes=256 * 1024,
    disk_bytes=16 * MIB,
)
JOIN_TIMEOUT_S = 10.0


@pytest.fixture
def received() -> Iterator[tuple[int, list[Any]]]:
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, bodies
    server.shutdown()
    server.server_close()
    thread.join(JOIN_TIMEOUT_S)


async def run(scratch: Path, spec: SandboxSpec) -> dict[str, Any]:
    log = Log()
    async with opened_bubblewrap(scratch, readable=[AGENTS / "sdk"]) as sandbox:
        result = await sandbox.run(spec, log)
    assert result.exit_code == 0, (result, log.lines)
    return json.loads(result.output or b"")


async def test_the_scanner_reads_a_mounted_repository(tmp_path: Path) -> None:
    repository = tmp_path / "a repository"
    repository.mkdir()
    (repository / "a.py").write_text("import pickle\npickle.loads(input())\n")
    (repository / "requirements.txt").write_text("PyYAML==5.3\n")
    inside = "/penstock/repository_path"
    spec = SandboxSpec(
        "scan",
        AGENTS / "security-scanner",
        ("python", "-m", "penstock_agent_security_scanner"),
        json.dumps({"repository_path": inside, "advisory_path": "/penstock/advisories"}).encode(),
        LIMITS,
        mounts=(
            Mount(repository, inside),
            Mount(AGENTS / "security-scanner/fixtures/advisories", "/penstock/advisories"),
        ),
    )
    output = await run(tmp_path / "scratch", spec)
    found = {(finding["file"], finding["line"], finding["cwe"]) for finding in output["findings"]}
    assert found == {("a.py", 2, "CWE-502"), ("requirements.txt", 1, "CWE-20")}


async def test_the_notifier_reaches_what_is_allowed_and_nothing_else(
    tmp_path: Path, received: tuple[int, list[Any]]
) -> None:
    port, bodies = received
    channels = [f"http://127.0.0.1:{port}/hook", "http://127.0.0.1:9/other"]
    given = {"channels": channels, "message": "hi {n}", "context": {"n": 1}}
    spec = SandboxSpec(
        "tell",
        AGENTS / "notifier",
        ("python", "-m", "penstock_agent_notifier"),
        json.dumps({**given, "retry": {"attempts": 1}}).encode(),
        LIMITS,
        egress=(EgressRule("127.0.0.1", port),),
    )
    output = await run(tmp_path / "scratch", spec)
    assert [entry["ok"] for entry in output["delivered"]] == [True, False]
    assert bodies == [{"message": "hi 1", "severity": "info", "context": {"n": 1}}]
