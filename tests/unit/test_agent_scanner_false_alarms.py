"""What a repository was once told wrongly, each beside its twin that is still found."""

from pathlib import Path

import pytest

from penstock_agent_security_scanner.models import ScanInput
from penstock_agent_security_scanner.scan import scan

_DOOR = """\
from http.server import BaseHTTPRequestHandler

class Door(BaseHTTPRequestHandler):
    def do_POST(self):
        told = self.rfile.read(10)
        self.send_response(200)
        self.send_header("Content-Type", TYPE)
        self.end_headers()
        self.wfile.write(told)
"""
_LIVE = """\
from aiohttp import web

async def follow(request):
    response = await opened(request)
    await response.write(request.query["filter"].encode())

async def opened(request):
    response = web.StreamResponse(headers={"Content-Type": TYPE})
    await response.prepare(request)
    return response
"""


def rules_of(folder: Path, text: str) -> set[str]:
    (folder / "main.py").write_text(text)
    task = ScanInput(repository_path=str(folder), scan_type=("code",), severity_threshold="medium")
    return {finding.rule for finding in scan(task).findings}


@pytest.mark.parametrize("text", [_DOOR, _LIVE], ids=["handler", "stream"])
@pytest.mark.parametrize(
    ("media", "rules"),
    [
        ('"application/x-protobuf"', set[str]()),
        ('"text/event-stream; charset=utf-8"', set[str]()),
        ('"text/html"', {"cross-site-scripting"}),
        ("chosen()", {"cross-site-scripting"}),
    ],
)
def test_data_is_no_page(tmp_path: Path, text: str, media: str, rules: set[str]) -> None:
    assert rules_of(tmp_path, text.replace("TYPE", media)) == rules


def test_a_file_with_pages_too_is_not_believed(tmp_path: Path) -> None:
    page = 'def page():\n    return web.Response(headers={"Content-Type": "text/html"})\n'
    text = _LIVE.replace("TYPE", '"text/event-stream"') + "\n" + page
    assert rules_of(tmp_path, text) == {"cross-site-scripting"}


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        ("(?i)pas|token|secret|pwd", set[str]()),
        (r"^sk_live_\w+$", set[str]()),
        ("[a-z0-9]{32}", set[str]()),
        ("[key]", set[str]()),
        ("Tr0ub4dor-and-3", {"bandit:B105"}),
    ],
)
def test_what_looks_for_a_password_is_none(tmp_path: Path, value: str, rules: set[str]) -> None:
    assert rules_of(tmp_path, f"password = {value!r}\n") == rules


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ('is_open = host == "0.0.0.0"', set[str]()),
        ('is_open = host in ("0.0.0.0", "::")', set[str]()),
        ('door.bind(("0.0.0.0", 80))', {"bandit:B104"}),
        ('host = "0.0.0.0"', {"bandit:B104"}),
    ],
)
def test_an_address_compared_with_binds_nothing(tmp_path: Path, line: str, rules: set[str]) -> None:
    assert rules_of(tmp_path, line + "\n") == rules
