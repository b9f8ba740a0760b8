"""The agent protocol as the SDK speaks it: files in, files out, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_agent_sdk import AgentError, progress, run_agent
from penstock_agent_sdk.egress import closing, open_egress, origin_form
from penstock_agent_sdk.models import AgentModel

Run = Callable[..., tuple[int, dict[str, Any]]]


class Greeting(AgentModel):
    first_name: str
    times: int = 1


class Greeted(AgentModel):
    text_lines: list[str]


def greet(task: Greeting) -> Greeted:
    return Greeted(text_lines=[f"hello {task.first_name}"] * task.times)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(
        content: str, handler: Callable[[Greeting], Greeted] = greet
    ) -> tuple[int, dict[str, Any]]:
        source, target = tmp_path / "input.json", tmp_path / "output.json"
        source.write_text(content)
        environment = {"PENSTOCK_INPUT": str(source), "PENSTOCK_OUTPUT": str(target)}
        code = run_agent(Greeting, Greeted, handler, environment=environment)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["input.json", "output.json"]
        return code, json.loads(target.read_text())

    return call


@pytest.mark.parametrize("name", ["first_name", "firstName"])
def test_both_spellings_come_in_and_snake_case_goes_out(run: Run, name: str) -> None:
    code, output = run(json.dumps({name: "Ada", "times": 2}))
    assert (code, output) == (0, {"text_lines": ["hello Ada", "hello Ada"]})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON at byte 1"),
        ("[]", "input:"),
        ("{}", "first_name: Field required"),
        ('{"first_name": "a", "times": "hunter2"}', "times: Input should be a valid integer"),
        ('{"first_name": "a", "hunter2": 1}', "Extra inputs are not permitted"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_input_is_a_declared_failure_that_repeats_no_value(
    run: Run, content: str, says: str
) -> None:
    code, output = run(content)
    assert code == 10
    error = output["error"]
    assert (error["code"], error["retryable"]) == ("invalid_input", False)
    assert says in error["message"]
    if "times" in content:
        assert "hunter2" not in error["message"]


def test_a_missing_input_is_a_declared_failure(tmp_path: Path) -> None:
    target = tmp_path / "output.json"
    environment = {"PENSTOCK_INPUT": str(tmp_path / "no"), "PENSTOCK_OUTPUT": str(target)}
    assert run_agent(Greeting, Greeted, greet, environment=environment) == 10
    assert json.loads(target.read_text())["error"]["code"] == "input_unreadable"


def test_a_handler_declares_its_failure(run: Run) -> None:
    def handler(_task: Greeting) -> Greeted:
        raise AgentError("busy", "try later", retryable=True)

    code, output = run('{"first_name": "a"}', handler)
    assert code == 10
    assert output == {"error": {"code": "busy", "message": "try later", "retryable": True}}


def test_anything_else_is_a_crash(tmp_path: Path) -> None:
    source = tmp_path / "input.json"
    source.write_text('{"first_name": "a"}')
    environment = {"PENSTOCK_INPUT": str(source), "PENSTOCK_OUTPUT": str(tmp_path / "out")}

    def broken(_task: Greeting) -> Greeted:
        raise KeyError("defect")

    def mistyped(_task: Greeting) -> Any:
        return {}

    with pytest.raises(KeyError):
        run_agent(Greeting, Greeted, broken, environment=environment)
    with pytest.raises(TypeError, match="returned dict"):
        run_agent(Greeting, Greeted, mistyped, environment=environment)
    assert not (tmp_path / "out").exists()


def test_progress_is_one_parsable_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress("half\nway", 1.5)
    progress("somewhere")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["::penstock-progress"] * 2
    assert [json.loads(line.split(" ", 1)[1]) for line in lines] == [
        {"fraction": 1.0, "text": "half way"},
        {"fraction": None, "text": "somewhere"},
    ]


def test_without_a_socket_there_is_no_network() -> None:
    with pytest.raises(AgentError, match="network: egress") as caught:
        open_egress({})
    assert caught.value.code == "no_network"


def test_an_absolute_request_becomes_one_for_its_origin() -> None:
    head = (
        b"POST http://u.example:8080/a?b=c HTTP/1.1\r\nHost: u.example:8080\r\n"
        b"Proxy-Connection: keep-alive\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"
    )
    authority, rewritten, length = origin_form(head)
    assert (authority, length) == (b"u.example:8080", 5)
    assert rewritten == (
        b"POST /a?b=c HTTP/1.1\r\nHost: u.example:8080\r\nContent-Length: 5\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert origin_form(b"GET http://[::1]/ HTTP/1.1\r\n\r\n")[0] == b"[::1]:80"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://x/ HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_proxy_request_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (any malformed head)
        origin_form(head)


def test_an_answer_says_that_its_connection_closes() -> None:
    head = b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    assert closing(head) == (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
