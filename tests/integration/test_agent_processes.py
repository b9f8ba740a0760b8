"""Both agents as the executor runs them: a process, two files, and perhaps a proxy socket."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from ruamel.yaml import YAML

from penstock_agent_sdk import AgentError
from penstock_agent_sdk.egress import open_egress
from penstock_contracts.agent.v1 import AgentManifest
from tests.integration.notifier_world import Egress, egress

AGENTS = Path(__file__).parents[2] / "agents"
RUN_TIMEOUT_S = 60.0
SOCKET_TIMEOUT_S = 10.0


def manifest(agent: str) -> dict[str, Any]:
    return YAML(typ="safe").load((AGENTS / agent / "agent.yaml").read_text())


@dataclass
class Result:
    code: int
    output: dict[str, Any]
    log: str


def run(agent: str, folder: Path, given: object, **environment: str) -> Result:
    """One task; input and output are checked against the manifest, as the executor does."""
    declared = manifest(agent)
    source, target = folder / "input.json", folder / "output.json"
    source.write_text(json.dumps(given))
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ended = subprocess.run(
        [sys.executable, *declared["command"][1:]],
        env={
            **clean,
            **environment,
            "PENSTOCK_INPUT": str(source),
            "PENSTOCK_OUTPUT": str(target),
        },
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    output = json.loads(target.read_text())
    if ended.returncode == 0:
        jsonschema.Draft202012Validator(declared["input"]).validate(given)
        jsonschema.Draft202012Validator(declared["output"]).validate(output)
    return Result(ended.returncode, output, ended.stdout + ended.stderr)


@dataclass
class Receiver:
    """A plain HTTP receiver; `answers` are the statuses of its first requests, then 204."""

    url: str
    answers: list[int] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.seen.append((self.path, dict(self.headers), body))
            self.send_response(state.answers.pop(0) if state.answers else 204)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(SOCKET_TIMEOUT_S)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Egress]:
    with egress(tmp_path) as proxy:
        yield proxy


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("agent", ["security-scanner", "notifier"])
def test_manifests_fit_the_contract(agent: str) -> None:
    declared = manifest(agent)
    parsed = AgentManifest.model_validate(declared)
    assert parsed.name == agent
    for side in ("input", "output"):
        jsonschema.Draft202012Validator.check_schema(declared[side])


def message(receiver: Receiver, path: str = "/hook", **fields: object) -> dict[str, object]:
    return {
        "channels": ["console", {"type": "webhook", "url": receiver.url + path, "name": "on call"}],
        "message": "{n} findings in {repo}",
        "severity": "high",
        "context": {"n": 3, "repo": "shop", "list": [1]},
        "retry": {"attempts": 3, "backoff_s": 0},
        **fields,
    }


def test_a_plain_receiver_sees_message_severity_and_context(
    work: Path, receiver: Receiver, proxy: Egress
) -> None:
    address = receiver.url.removeprefix("http://")
    proxy.routes[address] = int(address.rpartition(":")[2])
    given = message(receiver, path="/a%20b?x=1&x=2")
    result = run("notifier", work, given, PENSTOCK_EGRESS_SOCKET=proxy.path)
    assert result.code == 0, result.log
    assert result.output["delivered"] == [
        {"channel": "console", "ok": True, "detail": "printed"},
        {"channel": "on call", "ok": True, "detail": "accepted"},
    ]
    assert "[high] 3 findings in shop" in result.log
    [(path, headers, body)] = receiver.seen
    assert path == "/a%20b?x=1&x=2"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "message": "3 findings in shop",
        "severity": "high",
        "context": {"n": 3, "repo": "shop", "list": [1]},
    }
    assert proxy.asked == [address]


def test_without_a_socket_only_the_console_is_reached(work: Path, receiver: Receiver) -> None:
    result = run("notifier", work, message(receiver))
    assert result.code == 0
    assert [entry["ok"] for entry in result.output["delivered"]] == [True, False]
    assert "no network" in result.output["delivered"][1]["detail"]
    assert receiver.seen == []


def test_the_proxy_decides_what_is_reached(work: Path, receiver: Receiver, proxy: Egress) -> None:
    url = receiver.url.replace("http://", "http://user:pa55word@") + "/T0/SECRET?token=abc"
    given = message(receiver, channels=[url])
    result = run("notifier", work, given, PENSTOCK_EGRESS_SOCKET=proxy.path)
    assert result.code == 10
    assert result.output["error"]["code"] == "not_delivered"
    assert result.output["error"]["retryable"] is True
    assert "HTTP 403" in result.output["error"]["message"]
    assert receiver.seen == []
    said = json.dumps(result.output) + result.log
    assert [word for word in ("pa55word", "SECRET", "token=abc") if word in said] == []


def test_https_goes_through_connect_and_fails_closed(work: Path, proxy: Egress) -> None:
    given = {"channels": ["https://hooks.example/x"], "message": "m", "retry": {"attempts": 1}}
    result = run("notifier", work, given, PENSTOCK_EGRESS_SOCKET=proxy.path)
    assert result.code == 10
    assert proxy.asked == ["hooks.example:443"]


def test_retries_until_accepted(work: Path, receiver: Receiver) -> None:
    receiver.answers = [503, 429]
    result = run("notifier", work, message(receiver), PENSTOCK_EGRESS_SOCKET="direct")
    assert result.output["delivered"][1]["detail"] == "accepted (try 3)"
    assert len(receiver.seen) == 3


def test_redirects_are_not_followed(work: Path, receiver: Receiver) -> None:
    receiver.answers = [302]
    result = run("notifier", work, message(receiver), PENSTOCK_EGRESS_SOCKET="direct")
    assert result.output["delivered"][1] == {
        "channel": "on call",
        "ok": False,
        "detail": "HTTP 302 (redirects are not followed)",
    }
    assert len(receiver.seen) == 1


def test_another_scheme_is_refused_as_input(work: Path) -> None:
    given = {"channels": [{"type": "webhook", "url": "file:///etc/passwd"}], "message": "m"}
    result = run("notifier", work, given)
    assert result.code == 10
    assert result.output["error"]["code"] == "invalid_input"
    assert result.output["error"]["retryable"] is False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(manifest("notifier")["input"]).validate(given)


def test_one_forwarder_serves_many_requests_and_hosts(receiver: Receiver, proxy: Egress) -> None:
    """Libraries re-use a proxy connection; a tunnel belongs to one host."""
    port = receiver.url.rpartition(":")[2]
    proxy.routes |= {f"127.0.0.1:{port}": int(port), f"localhost:{port}": int(port)}
    environment = {"PENSTOCK_EGRESS_SOCKET": proxy.path, "NO_PROXY": "*"}
    forwarder = open_egress(environment)
    assert forwarder is not None
    assert "NO_PROXY" not in environment
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"http": environment["http_proxy"]}
            for host in ("127.0.0.1", "localhost", "127.0.0.1"):
                body = {"host": host, "pad": "x" * 200_000}
                answer = session.post(f"http://{host}:{port}/", json=body, timeout=SOCKET_TIMEOUT_S)
                assert answer.status_code == 204
            refused = session.get("http://192.0.2.1/", timeout=SOCKET_TIMEOUT_S)
            assert (refused.status_code, refused.text) == (403, "refused by the egress proxy\n")
    finally:
        forwarder.close()
    assert [body["host"] for _, _, body in receiver.seen] == ["127.0.0.1", "localhost", "127.0.0.1"]


def test_a_socket_nobody_answers_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="does not answer") as caught:
        open_egress({"PENSTOCK_EGRESS_SOCKET": str(tmp_path / "absent.sock")})
    assert caught.value.retryable is True


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=RUN_TIMEOUT_S)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one planted weakness of each kind."""
    folder = tmp_path / "a shop"
    (folder / "web").mkdir(parents=True)
    (folder / "web/views.py").write_text(
        "import os, pickle, hashlib, sqlite3\n"
        "from flask import request\n"
        "def show():\n"
        "    return open('/srv/' + request.args['name']).read()\n"
        "def find(db, name):\n"
        "    return db.execute(f\"SELECT * FROM users WHERE name = '{name}'\")\n"
        "def ping(host):\n"
        "    os.system('ping ' + host)\n"
        "def load(data):\n"
        "    hashlib.md5(data)\n"
        "    return pickle.loads(data)\n"
    )
    token = "ghp_" + "".join(chr(65 + (7 * n) % 26) for n in range(36))
    (folder / "settings.py").write_text(f'TOKEN = "{token}"\n')
    (folder / "requirements.txt").write_text("PyYAML==5.3\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "plant")
    return folder


def test_the_scanner_finds_what_was_planted(work: Path, repository: Path) -> None:
    given = {
        "repositoryPath": str(repository),
        "advisory_path": str(AGENTS / "security-scanner/fixtures/advisories"),
    }
    result = run("security-scanner", work, given)
    assert result.code == 0, result.log
    found = {(f["file"], f["line"], f["cwe"]) for f in result.output["findings"]}
    assert found == {
        ("web/views.py", 4, "CWE-22"),
        ("web/views.py", 6, "CWE-89"),
        ("web/views.py", 8, "CWE-78"),
        ("web/views.py", 10, "CWE-328"),
        ("web/views.py", 11, "CWE-502"),
        ("settings.py", 1, "CWE-798"),
        ("requirements.txt", 1, "CWE-20"),
    }
    assert result.output["passed"] is False
    said = json.dumps(result.output) + result.log
    assert "ghp_" not in said
    status = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=True,
    )
    assert status.stdout == ""


@pytest.mark.parametrize(
    ("scan_type", "rules"),
    [("secrets", {"secret:github-token"}), (["dependencies"], set())],
)
def test_scan_types_limit_the_work(
    work: Path, repository: Path, scan_type: object, rules: set[str]
) -> None:
    given = {"repository_path": str(repository), "scan_type": scan_type}
    result = run("security-scanner", work, given)
    assert {finding["rule"] for finding in result.output["findings"]} == rules
    assert result.output["summary"]["code"]["status"] == "not_requested"
    assert result.output["passed"] is False


def test_a_clean_repository_passes(work: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    (clean / "main.py").write_text("def main() -> None:\n    pass\n")
    result = run("security-scanner", work, {"repository_path": str(clean)})
    assert (result.output["passed"], result.output["findings"]) == (True, [])


def test_a_missing_repository_is_declared(work: Path, tmp_path: Path) -> None:
    result = run("security-scanner", work, {"repository_path": str(tmp_path / "none")})
    assert result.code == 10
    assert result.output["error"] == {
        "code": "no_repository",
        "message": "repository_path is not a folder in this sandbox",
        "retryable": False,
    }
