"""The planning agent of the guide, run as the executor would run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/agent-development.md").read_text(encoding="utf-8")
WITHIN_S = 20
FAILED = 10


class Deployment(BaseHTTPRequestHandler):
    """Something with a version, which is changed only by who knows it."""

    replicas = 2
    version = "one"

    def do_GET(self) -> None:
        self._say(200, json.dumps({"replicas": self.replicas, "name": "shop"}).encode())

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["If-Match"] != self.version:
            self._say(412, b"")
            return
        Deployment.replicas, Deployment.version = body["replicas"], "two"
        self._say(200, b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", self.version)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def deployment() -> Iterator[str]:
    Deployment.replicas, Deployment.version = 2, "one"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Deployment)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        serving.join(WITHIN_S)
        server.server_close()


def ran(folder: Path, phase: str, given: object) -> tuple[int, Any]:
    """Run a phase; gives exit code and output."""
    (program,) = (
        code
        for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
        if "run_planning_agent(" in code
    )
    (folder / "agent.py").write_text(program)
    (folder / "input.json").write_text(json.dumps(given))
    ended = subprocess.run(
        [sys.executable, "agent.py"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "agents/sdk"),
            "PENSTOCK_PHASE": phase,
            "PENSTOCK_INPUT": str(folder / "input.json"),
            "PENSTOCK_OUTPUT": str(folder / "output.json"),
            "PENSTOCK_EGRESS_SOCKET": "direct",
        },
        timeout=WITHIN_S,
        check=False,
    )
    return ended.returncode, json.loads((folder / "output.json").read_text())


def test_it_plans_and_applies_what_was_planned(tmp_path: Path):
    with deployment() as url:
        given = {"url": url, "replicas": 5}
        code, said = ran(tmp_path, "plan", given)
        assert code == 0
        assert said["plan"]["effect"] == {"put": {"replicas": 5, "name": "shop"}}
        assert said["plan"]["base"]["etag"] == "one"
        assert Deployment.replicas == 2
        assert ran(tmp_path, "apply", {"input": given, "plan": said["plan"]}) == (
            0,
            {"changed": True},
        )
        assert Deployment.replicas == 5
        assert ran(tmp_path, "plan", given) == (0, {"output": {"changed": False}})


def test_what_has_changed_meanwhile_is_left_alone(tmp_path: Path):
    with deployment() as url:
        given = {"url": url, "replicas": 5}
        _, said = ran(tmp_path, "plan", given)
        Deployment.version, Deployment.replicas = "other", 3
        code, told = ran(tmp_path, "apply", {"input": given, "plan": said["plan"]})
        assert code == FAILED
        assert told["error"]["code"] == "base_changed"
        assert told["error"]["retryable"] is True
        assert Deployment.replicas == 3
