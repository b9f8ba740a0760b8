"""The command line itself: options anywhere, exit codes, faults that say how to mend."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from penstock_cli.access import access_from
from penstock_cli.app import VERBS, hoist, run
from penstock_cli.description import commands, exit_codes
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.services import known_services, service_command
from penstock_cli.trigger import quoting_hint, value_of


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def a_running_stack(home: Path, state: str = "ready") -> None:
    (home / "run").mkdir(parents=True)
    (home / "credentials").mkdir()
    document = {"state": state, "gateway_url": "http://127.0.0.1:9", "children": []}
    (home / "run" / "status.json").write_text(json.dumps(document))
    (home / "credentials" / "admin.token").write_text("pst_secret\n")


@pytest.mark.parametrize(
    ("given", "hoisted"),
    [
        (["runs", "list", "--json"], ["--json", "runs", "list"]),
        (["runs", "--url", "http://x", "list"], ["--url", "http://x", "runs", "list"]),
        (["runs", "list", "--token=t"], ["--token=t", "runs", "list"]),
        (["trigger", "w", "--", "--json"], ["trigger", "w", "--", "--json"]),
        (["status", "--home"], ["--home", "status"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], hoisted: list[str]):
    assert hoist(given) == hoisted


def test_address_and_token_come_from_the_state_folder(nowhere: Path):
    a_running_stack(nowhere)
    access = access_from({"PENSTOCK_HOME": str(nowhere)})
    assert (access.url(), access.token()) == ("http://127.0.0.1:9", "pst_secret")


def test_what_is_given_wins_over_the_state_folder(nowhere: Path):
    a_running_stack(nowhere)
    environ = {"PENSTOCK_HOME": str(nowhere), "PENSTOCK_URL": "http://e/", "PENSTOCK_TOKEN": "e"}
    from_environment = access_from(environ)
    assert (from_environment.url(), from_environment.token()) == ("http://e", "e")
    from_options = access_from(environ, url="http://o", token="o")
    assert (from_options.url(), from_options.token()) == ("http://o", "o")


@pytest.mark.parametrize("state", ["stopped", "starting"])
def test_a_stack_that_is_not_ready_has_no_address(nowhere: Path, state: str):
    a_running_stack(nowhere, state)
    with pytest.raises(CliFault) as fault:
        access_from({"PENSTOCK_HOME": str(nowhere)}).url()
    assert fault.value.code is ExitCode.UNREACHABLE
    assert "penstock up" in fault.value.mend


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["runs", "list"], ExitCode.UNREACHABLE, "no Penstock runs in"),
        (["replay", "abcd"], ExitCode.UNREACHABLE, "auditor.url names no database"),
        (["validate", "absent.yaml"], ExitCode.NOT_FOUND, "there is no file absent.yaml"),
        (["trigger"], ExitCode.USAGE, "name a workflow"),
        (["trigger", "w", "--input", "x"], ExitCode.USAGE, "is not name=value"),
        (["trigger", "--subject", "a", "--data", "{"], ExitCode.USAGE, "--data is not JSON"),
        (["agents", "register"], ExitCode.USAGE, "no agent was named"),
        (["agents", "register", "nowhere"], ExitCode.REFUSED, "nowhere/agent.yaml"),
        (["serve", "no-such"], ExitCode.USAGE, "there is no service 'no-such'"),
        (["no-such-verb"], ExitCode.USAGE, "No such command"),
        (["runs", "list", "--limit", "many"], ExitCode.USAGE, "--limit"),
        (["--url", "not an address", "--token", "t", "runs", "list"], ExitCode.USAGE, "address"),
    ],
)
def test_faults_have_their_exit_code_and_no_traceback(
    line: list[str], code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
):
    assert run(line) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_trigger_too_large_is_refused_before_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "large.json"
    file.write_text(json.dumps("x" * (20 * 1024 * 1024)))
    assert run(["trigger", "--subject", "demo", "--data", f"@{file}"]) == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "the trigger is 20.0 MB, the limit is 10 MB; nothing was sent" in told


NOT_TEXT = "release: version: must be of type string, not number [invalid_inputs]"


@pytest.mark.parametrize(
    ("refusal", "pairs", "hint"),
    [
        (NOT_TEXT, ["version=1.4"], """--input version='"1.4"'"""),
        (NOT_TEXT, ["other=1", "version=2", "version=1.4"], """--input version='"1.4"'"""),
        (
            NOT_TEXT.replace("string,", "string or of type null,"), ["version=true"],
            """--input version='"true"'""",
        ),
        (NOT_TEXT, ["version={'"], ""),
        (NOT_TEXT, ["sion=1"], ""),
        (NOT_TEXT.replace("version:", "tags[0]:"), ["tags=[1]"], ""),
        (NOT_TEXT.replace("of type string", "of type object"), ["version=1.4"], ""),
        ("release: 'version' is required [invalid_inputs]", ["other=1"], ""),
    ],
)  # fmt: skip
def test_a_text_that_was_read_as_a_number_is_to_be_quoted(
    refusal: str, pairs: list[str], hint: str
):
    told = quoting_hint(refusal, pairs)
    assert told.endswith(hint)
    assert bool(told) is bool(hint)
    if hint:
        name, _, text = shlex.split(told.partition("--input ")[2])[0].partition("=")
        assert (name, type(value_of(text))) == ("version", str)


def test_status_of_nothing_says_how_to_start(capsys: pytest.CaptureFixture[str]):
    assert run(["status"]) == ExitCode.UNREACHABLE
    assert "penstock up --detach" in capsys.readouterr().out


def test_down_of_nothing_is_no_fault(capsys: pytest.CaptureFixture[str]):
    assert run(["down"]) == ExitCode.OK
    assert "nothing ran" in capsys.readouterr().out


def test_version_is_told(capsys: pytest.CaptureFixture[str]):
    assert run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("penstock ")


def test_every_verb_is_described():
    described = {command.name: command for command in commands()}
    assert {name.split()[1] for name in described if " " in name} == set(VERBS)
    assert [name for name, command in described.items() if not command.help] == []
    options = [p for c in described.values() for p in c.parameters if p.written.startswith("-")]
    assert [option.written for option in options if not option.help] == []


def test_exit_codes_are_what_was_released():
    assert {code: member.name for member in ExitCode if (code := int(member)) is not None} == {
        0: "OK",
        1: "REFUSED",
        2: "USAGE",
        3: "RUN_FAILED",
        4: "UNREACHABLE",
        5: "NOT_FOUND",
        6: "DENIED",
        7: "TIMED_OUT",
        130: "INTERRUPTED",
    }
    assert {code for code, _ in exit_codes()} == set(map(int, ExitCode))


def test_the_four_services_are_found_by_their_entry_points():
    known = known_services()
    assert set(known) >= {"scheduler", "executor", "approval", "webhook-gateway"}
    assert service_command("scheduler")[-2:] == ("serve", "scheduler")
