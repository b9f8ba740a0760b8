"""The agent protocol as the SDK speaks it: files in, files out, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_agent_sdk import AgentError, partial, progress, run_agent
from penstock_agent_sdk.egress import closing, open_egress, origin_form
from penstock_agent_sdk.models import AgentModel
from penstock_agent_sdk.planning import Context, Plan, run_planning_agent
from penstock_agent_sdk.progress import MAX_PARTIAL_BYTES

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


def test_a_partial_result_is_one_line_of_bounded_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert partial({"findings": ["é\n"]})
    assert not partial({"findings": "x" * MAX_PARTIAL_BYTES})
    (line,) = capsys.readouterr().out.splitlines()
    assert line == '::penstock-partial {"findings": ["é\\n"]}'


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


# --- agents that plan ---------------------------------------------------------------------------


class Greeter:
    """Plans a greeting; greets nobody zero times."""

    def plan(self, task: Greeting, context: Context) -> Plan | Greeted:
        if not task.times:
            return Greeted(text_lines=[])
        said = f"{task.first_name} {context.feedback}".strip()
        return Plan({"greet": said}, {"seen": 1}, summary=f"greet\n{said}")

    def apply(self, task: Greeting, plan: Plan, context: Context) -> Greeted:
        return Greeted(text_lines=[f"{context.phase} {plan.effect['greet']} {plan.base['seen']}"])


def call_planner(tmp_path: Path, content: object, **told: str) -> tuple[int, dict[str, Any]]:
    source, target = tmp_path / "input.json", tmp_path / "output.json"
    source.write_text(json.dumps(content))
    environment = {"PENSTOCK_INPUT": str(source), "PENSTOCK_OUTPUT": str(target), **told}
    code = run_planning_agent(Greeting, Greeted, Greeter(), environment=environment)
    return code, json.loads(target.read_text())


def test_a_plan_is_written_with_its_base_and_a_line_for_people(tmp_path: Path) -> None:
    told = {"PENSTOCK_PHASE": "plan", "PENSTOCK_FEEDBACK": "warmly"}
    code, output = call_planner(tmp_path, {"first_name": "Ada"}, **told)
    assert (code, output) == (
        0,
        {
            "plan": {
                "effect": {"greet": "Ada warmly"},
                "base": {"seen": 1},
                "summary": "greet Ada warmly",
            }
        },
    )


def test_nothing_to_apply_is_an_output(tmp_path: Path) -> None:
    given = {"first_name": "Ada", "times": 0}
    code, output = call_planner(tmp_path, given, PENSTOCK_PHASE="plan")
    assert (code, output) == (0, {"output": {"text_lines": []}})


def test_apply_gets_the_input_and_the_approved_plan(tmp_path: Path) -> None:
    plan = {"effect": {"greet": "Ada"}, "base": {"seen": 2}}
    given = {"input": {"firstName": "Ada"}, "plan": plan}
    code, output = call_planner(tmp_path, given, PENSTOCK_PHASE="apply")
    assert (code, output) == (0, {"text_lines": ["apply Ada 2"]})


@pytest.mark.parametrize(
    ("content", "phase", "said"),
    [
        ({"first_name": "Ada"}, "apply", "the approved plan are needed"),
        ({"first_name": "Ada"}, "run", "this agent plans and applies; told was run"),
        ({}, "plan", "first_name: Field required"),
        ({"input": {}, "plan": {"effect": {}, "base": {}}}, "apply", "first_name: Field required"),
    ],
)
def test_a_planning_agent_declares_what_it_cannot_do(
    tmp_path: Path, content: object, phase: str, said: str
) -> None:
    code, output = call_planner(tmp_path, content, PENSTOCK_PHASE=phase)
    assert code == 10
    assert said in output["error"]["message"]


def test_the_context_is_what_the_executor_says() -> None:
    told = {"PENSTOCK_PHASE": "plan", "PENSTOCK_ATTEMPT": "3", "PENSTOCK_NODE": "patch"}
    context = Context.read(told)
    assert (context.phase, context.attempt, context.node, context.feedback) == (
        "plan",
        3,
        "patch",
        "",
    )
    assert Context.read({"PENSTOCK_ATTEMPT": "x"}).attempt == 1
