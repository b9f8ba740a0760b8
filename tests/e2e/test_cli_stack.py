"""The verbs on a real stack: started in the background, used, stopped, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.nats.plain import publish_trigger
from penstock_cli import demo
from penstock_cli.access import access_from
from penstock_cli.app import run
from penstock_contracts.subjects import trigger
from penstock_contracts.values import DEFAULT_TENANT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
WITHIN_S = 60
SCAN = Path(demo.__file__).parent / "scan.yaml"
PURE_GATE = """\
kind: Workflow
name: ask
nodes:
  ask:
    approval: {title: Shall we?, expires: 5m}
"""


TWO_OF_A_GROUP = """\
kind: Workflow
name: release
inputs: {type: object}
nodes:
  draft:
    agent: notifier
    with: {channels: [console], message: "a draft{{run.feedback}}"}
  ask:
    needs: [draft]
    approval:
      title: Release it?
      show: {version: "{{inputs.version}}"}
      approvers: {groups: [release]}
      quorum: 2
      separation: true
      push_back: [draft]
      form:
        type: object
        required: [hosts]
        properties: {hosts: {type: integer}}
outputs: {hosts: "{{ask.approval.answers.hosts}}"}
"""
AGENTS = ["code-reviewer", "compliance-checker", "notifier", "patcher", "security-scanner"]
SAY = """\
kind: Workflow
name: say
nodes:
  say:
    agent: notifier
    with: {channels: [console], message: hello from the sandbox}
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a line gave."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`penstock` with one state folder."""

    home: Path
    folder: Path

    def __call__(self, *line: str, stdin: str = "") -> Ended:
        """Run a line in this process, as `__main__` would."""
        output, errors = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            patch.setenv("PENSTOCK_HOME", str(self.home))
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            code = run(list(line))
        return Ended(code, output.getvalue(), errors.getvalue())

    def process(self, *line: str) -> str:
        """Run a line that must succeed in a process of its own; gives what it printed."""
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "penstock_cli", *line],
            env={**os.environ, "PENSTOCK_HOME": str(self.home)},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def done(self, *line: str) -> str:
        """Run what must succeed; gives what it printed."""
        ended = self(*line)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def told(self, *line: str) -> Any:
        """Run what must succeed; gives the JSON it printed."""
        return json.loads(self.done(*line, "--json"))


@pytest.fixture(scope="module")
def penstock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    root = tmp_path_factory.mktemp("command line")
    folder = root / "a work folder"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "app.py").write_text("import os\n\n\ndef ping(h):\n    os.system('ping ' + h)\n")
    (folder / "ask.yaml").write_text(f"{PURE_GATE}---\n{SAY}---\n{TWO_OF_A_GROUP}")
    command = CommandLine(root / "state", folder)
    shown = command.process("up", "--detach")
    assert "agents register --all" in shown
    try:
        command.done("agents", "register", "--all")
        command.done("apply", "-f", str(SCAN), "-f", "ask.yaml")
        yield command
    finally:
        command.process("down")


def started(penstock: CommandLine, *line: str) -> str:
    answer = json.loads(penstock.done("trigger", *line, "--json"))
    return answer["runs"][0]["run_id"]


def asked(penstock: CommandLine, run_id: str) -> str:
    """Give the approval that a run waits for, once there is one."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        for item in penstock.told("approvals", "list")["items"]:
            if item["run_id"] == run_id:
                return item["approval_id"]
    raise AssertionError(f"run {run_id} asks for nothing")


def test_up_again_is_no_fault(penstock: CommandLine):
    assert "already up" in penstock.done("up", "--detach")


def test_doctor_finds_nothing_broken(penstock: CommandLine):
    told = json.loads(penstock("doctor", "--json").stdout)
    assert [item for item in told["findings"] if item["grade"] == "broken"] == []
    subjects = {item["subject"] for item in told["findings"]}
    assert {"python", "sandbox", "ports", "disk", "executor: sandbox", "clock"} <= subjects


def test_status_shows_all_processes(penstock: CommandLine):
    told = penstock.told("status")
    assert told["state"] == "ready"
    assert len(told["children"]) == 6
    assert told["gateway"]["projection"]["ready"]


def test_definitions_are_stored_once(penstock: CommandLine):
    assert penstock.done("agents", "register", "--all").count("unchanged") == len(AGENTS)
    assert "unchanged Workflow scan" in penstock.done("apply", "-f", str(SCAN))
    agents = penstock.told("agents", "list")["items"]
    assert [item["name"] for item in agents] == AGENTS
    assert "repository_path" in penstock.done("agents", "show", "security-scanner")
    assert "scan" in penstock.done("workflows", "list")
    assert penstock.told("workflows", "show", "scan")["name"] == "scan"
    assert penstock("workflows", "show", "no-such").returncode == 5


def test_a_faulty_workflow_is_not_stored(penstock: CommandLine):
    file = penstock.folder / "faulty.yaml"
    file.write_text("kind: Workflow\nname: faulty\nnodes:\n  a: {agent: security-scaner}\n")
    refused = penstock("apply", "-f", "faulty.yaml")
    assert refused.returncode == 1
    assert "faulty.yaml:4:14: there is no agent 'security-scaner'" in refused.stderr
    assert "did you mean `security-scanner`?" in refused.stderr


def test_a_scan_is_followed_to_its_gate_approved_and_replayed(penstock: CommandLine):
    run_id = started(penstock, "scan", "-i", f"repository={penstock.folder}", "--id", "one")
    assert started(penstock, "scan", "-i", f"repository={penstock.folder}", "--id", "one") == run_id
    waited = penstock("runs", "watch", run_id[:8], "--timeout", "4")
    assert waited.returncode == 7, waited.stdout + waited.stderr
    assert "run_started" in waited.stdout
    approval = asked(penstock, run_id)
    assert "summary" in penstock.done("approvals", "show", approval[:8])
    assert "approved" in penstock.done("approvals", "approve", approval, "-r", "seen")
    watched = penstock.done("runs", "watch", run_id)
    assert "run_succeeded" in watched
    assert "state hash" in penstock.done("runs", "show", run_id)
    assert "CWE-78" in json.dumps(penstock.told("runs", "show", run_id))
    replayed = penstock.told("replay", run_id[:8])
    assert replayed["state_hash"] == replayed["served_state_hash"]
    assert replayed["state"]["status"] == "succeeded"
    earlier = penstock.told("replay", run_id, "--at", "2")
    assert (earlier["version"], earlier["state"]["status"]) == (2, "running")
    assert "equal" in penstock.done("replay", run_id)
    assert penstock("replay", run_id, "--at", "99").returncode == 2
    assert penstock("approvals", "approve", approval).returncode == 1


def test_logs_are_printed_and_end_with_the_run(penstock: CommandLine):
    run_id = started(penstock, "say", "--wait")
    assert "hello from the sandbox" in penstock.done("runs", "logs", run_id)
    assert "hello from the sandbox" in penstock.done("runs", "logs", run_id, "-f")


def test_a_run_that_fails_has_its_own_exit_code(penstock: CommandLine):
    ended = penstock("trigger", "scan", "-i", "repository=/etc", "--wait")
    assert ended.returncode == 3
    assert "outside the allowed roots" in ended.stdout


def test_a_rejection_fails_the_run_with_its_reason(penstock: CommandLine):
    run_id = started(penstock, "ask")
    penstock.done("approvals", "reject", asked(penstock, run_id), "-r", "not today")
    watched = penstock("runs", "watch", run_id)
    assert watched.returncode == 3
    assert "not today" in watched.stdout


def token_of(penstock: CommandLine, name: str, *groups: str) -> str:
    """Make a person who may decide."""
    words = [word for group in groups for word in ("--group", group)]
    return penstock.told("tokens", "issue", name, "--role", "approver", *words)["token"]


def test_two_people_of_a_group_decide_on_what_they_were_shown(penstock: CommandLine):
    run_id = started(penstock, "release", "-i", "version=7")
    approval = asked(penstock, run_id)
    ada, bob, eve = (
        token_of(penstock, "ada", "release"), token_of(penstock, "bob", "release"),
        token_of(penstock, "eve"),
    )  # fmt: skip
    assert "release" in penstock.done("tokens", "list")
    shown = penstock.done("approvals", "show", approval)
    assert "group release" in shown
    assert "2 different people, 2 missing" in shown
    digest = penstock.told("approvals", "show", approval)["digest"]

    def vote(token: str, *words: str) -> Ended:
        return penstock("--token", token, "approvals", *words)

    assert "not_allowed" in vote(eve, "approve", approval, "-a", "hosts=3").stderr
    assert "invalid_answers" in vote(ada, "approve", approval).stderr
    assert "not_proposed" in vote(ada, "approve", approval, "--digest", "0" * 64).stderr
    first = vote(ada, "approve", approval, "-a", "hosts=3", "--digest", digest)
    assert "lacks 1 of 2 approvals" in first.stdout
    assert "already_voted" in vote(ada, "approve", approval, "-a", "hosts=3").stderr
    assert "ada has no token" in penstock.done("tokens", "revoke", "ada")
    second = vote(bob, "approve", approval, "-a", "hosts=4", "--digest", digest[:20])
    assert "lacks 1 of 2 approvals" in second.stdout  # ada's does not count any more
    zoe = token_of(penstock, "zoe", "release")
    assert "pushed_back" in vote(zoe, "push-back", approval, "-r", " again").stdout
    approval = asked(penstock, run_id)
    assert "pushed back by zoe to draft:  again" in penstock.done("runs", "show", run_id)
    for token in (bob, zoe):
        assert vote(token, "approve", approval, "-a", "hosts=5").returncode == 0
    assert "run_succeeded" in penstock.done("runs", "watch", run_id)
    assert penstock.told("runs", "show", run_id)["run"]["outputs"] == {"hosts": 5}
    replayed = penstock.told("replay", run_id)
    assert replayed["state_hash"] == replayed["served_state_hash"]


def test_a_known_outcome_is_not_settled(penstock: CommandLine):
    run_id = started(penstock, "ask")
    words = ("runs", "settle", run_id, "ask", "--happened", "-r", "I saw it")
    assert "not_unknown" in penstock(*words).stderr


def test_a_run_is_cancelled(penstock: CommandLine):
    run_id = started(penstock, "ask")
    assert "cancelled" in penstock.done("runs", "cancel", run_id, "--reason", "enough")
    assert penstock.told("runs", "show", run_id)["run"]["status"] == "cancelled"


def test_any_json_is_a_trigger(penstock: CommandLine):
    body = json.dumps({"repository": str(penstock.folder / "absent")})
    ended = penstock("trigger", "--subject", "demo", "--data", "-", "--wait", stdin=body)
    assert ended.returncode == 3
    assert "does not exist" in ended.stdout


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (("trigger", "no-such"), 5, "there is no workflow 'no-such'"),
        (("trigger", "scan"), 1, "'repository' is required"),
        (("runs", "show", "abcdef"), 5, "there is no run 'abcdef'"),
        (("replay", "abcdef"), 5, "the store holds no run 'abcdef'"),
        (("--token", "wrong", "runs", "list"), 6, "not valid"),
        (("--url", "http://127.0.0.1:1", "runs", "list"), 4, "no gateway answers"),
        (("dead", "show", "abcdef"), 5, "abcdef"),
        (("trigger", "--subject", "no one.listens", "--data", "{}"), 1, "not a trigger path"),
        (("trigger", "--subject", "nobody.listens", "--data", "{}"), 5, "no_match"),
    ],
)
def test_refusals_say_why_and_have_their_code(
    penstock: CommandLine, line: tuple[str, ...], code: int, said: str
):
    ended = penstock(*line)
    assert said in ended.stderr
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("agents", "list"), "security-scanner"),
        (("workflows", "list"), "by hand"),
        (("workflows", "show", "scan"), '"nodes"'),
        (("runs", "list", "--status", "failed"), "workspace_refused"),
        (("runs", "list", "--workflow", "no-such"), "no runs"),
        (("runs", "list", "--limit", "1"), "more: --before"),
        (("approvals", "list", "--status", "all"), "Shall we?"),
        (("status",), "webhook-gateway"),
        (("doctor",), "nothing is broken"),
        (("validate", str(SCAN)), "valid Workflow scan"),
    ],
)
def test_people_are_shown_tables(penstock: CommandLine, line: tuple[str, ...], said: str):
    assert said in penstock.done(*line)


def test_definitions_are_taken_out_of_use(penstock: CommandLine):
    file = penstock.folder / "gone.yaml"
    file.write_text(PURE_GATE.replace("name: ask", "name: gone"))
    penstock.done("apply", "-f", "gone.yaml")
    assert "removed gone" in penstock.done("workflows", "remove", "gone")
    assert penstock("trigger", "gone").returncode == 5
    own = penstock.folder / "own-agent"
    own.mkdir()
    (own / "agent.yaml").write_text('kind: Agent\nname: own\ncommand: ["true"]\n')
    assert "registered own" in penstock.done("agents", "register", "own-agent")
    assert penstock.told("agents", "remove", "own") == {"name": "own", "removed": True}


def test_a_message_that_is_no_json_is_kept_with_its_reason(penstock: CommandLine):
    assert "nothing is parked" in penstock.done("dead", "list")
    login = access_from({"PENSTOCK_HOME": str(penstock.home)}).trigger_login()
    asyncio.run(publish_trigger(login, trigger(DEFAULT_TENANT, "demo"), b"{ no json", {}))
    end = time.monotonic() + WITHIN_S
    while not (parked := penstock.told("dead", "list")["items"]):
        assert time.monotonic() < end
    assert parked[0]["code"] == "malformed"
    shown = penstock.done("dead", "show", parked[0]["id"])
    assert "{ no json" in shown
    assert "malformed" in penstock.done("dead", "list")
    assert parked[0]["id"] in penstock.done("dead", "redrive", parked[0]["id"])
