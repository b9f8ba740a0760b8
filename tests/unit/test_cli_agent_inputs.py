"""What an agent on the bench is asked: input, folders, network, secrets, and which one it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from penstock_cli.agent.inputs import (
    egress_from,
    find_agent,
    folders_of,
    read_input,
    secrets_from,
    with_folders,
)
from penstock_cli.faults import CliFault
from penstock_contracts.agent.v1 import AgentManifest, Network, Workspace
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.sandbox import EgressRule

READER = AgentManifest(
    name="reader",
    command=("x",),
    workspaces=(
        Workspace(input="advisory_path", optional=True),
        Workspace(input="repository_path"),
    ),
)
SENDER = AgentManifest(name="sender", command=("x",), network=Network.EGRESS)


def agent(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "agent.yaml").write_text(f"name: {name}\ncommand: [x]\n")


def test_an_input_is_put_together_and_the_later_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "in.yaml"
    file.write_text("a: 1\nb: [x]\n")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"c": null}'))
    given = read_input([str(file), "a=2", "-", 'd="3"', "e=text=more"])
    assert given == {"a": 2, "b": ["x"], "c": None, "d": "3", "e": "text=more"}


@pytest.mark.parametrize(
    ("item", "said"), [("absent.json", "cannot be read"), ("-", "is not JSON")]
)
def test_what_cannot_be_read_is_named(item: str, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    with pytest.raises(CliFault, match=said):
        read_input([item])


def test_standard_input_has_to_be_an_object(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    with pytest.raises(CliFault, match="no JSON object"):
        read_input(["-"])


def test_a_faulty_file_is_told_with_its_place(tmp_path: Path):
    file = tmp_path / "in.yaml"
    file.write_text("a: [\n")
    with pytest.raises(CliFault, match=r"in\.yaml:\d+:\d+"):
        read_input([str(file)])


def test_folders_become_absolute(tmp_path: Path):
    given: JsonObject = {"advisoryPath": "adv"}
    filled = with_folders(given, READER, Path("repo"), tmp_path)
    assert filled == {
        "advisoryPath": str(tmp_path / "adv"),
        "repository_path": str(tmp_path / "repo"),
    }
    assert folders_of(filled, READER) == (tmp_path / "adv", tmp_path / "repo")
    assert given == {"advisoryPath": "adv"}


def test_a_folder_that_is_missing_or_not_wanted_is_said(tmp_path: Path):
    with pytest.raises(CliFault, match="needs a folder: repository_path"):
        with_folders({}, READER, None, tmp_path)
    with pytest.raises(CliFault, match="takes no folder"):
        with_folders({}, SENDER, Path("repo"), tmp_path)
    assert with_folders({"repository_path": 3}, READER, None, tmp_path) == {"repository_path": 3}


def test_a_network_is_given_to_who_asks_for_one():
    rules = egress_from(["a.example:443", "[::1]:80"], SENDER)
    assert rules == (EgressRule("a.example", 443), EgressRule("::1", 80))
    assert egress_from([], READER) == ()
    with pytest.raises(CliFault, match="has no network"):
        egress_from(["a:1"], READER)


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:0", "a:65536", "a:x"])
def test_a_rule_is_host_and_port(text: str):
    with pytest.raises(CliFault, match="is not host:port"):
        egress_from([text], SENDER)


async def test_secrets_come_from_where_an_executor_has_them(tmp_path: Path):
    folder, file = tmp_path / "secrets", tmp_path / "env"
    folder.mkdir()
    (folder / "one").write_text("in-the-folder\n")
    file.write_text("TWO=in-the-file\n")
    file.chmod(0o600)
    environ = {"PENSTOCK_SECRET_THREE": "environment", "PENSTOCK_SECRETS_DIR": str(folder)}
    secrets = secrets_from(environ, file)
    found = [await secrets.find(name) for name in ("one", "two", "three", "four")]
    assert found == ["in-the-folder", "in-the-file", "environment", None]


def test_a_folder_that_is_no_agent_does_not_hide_one_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "patcher").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_agent("patcher", {}).manifest.name == "patcher"


def test_an_agent_is_found_by_folder_or_name(tmp_path: Path):
    agent(tmp_path / "mine" / "tool", "my-tool")
    environ = {"PENSTOCK_AGENT_ROOTS": str(tmp_path / "mine")}
    assert find_agent(str(tmp_path / "mine/tool")).manifest.name == "my-tool"
    assert find_agent("my-tool", environ).folder == tmp_path / "mine/tool"
    assert find_agent("security-scanner", {}).manifest.name == "security-scanner"


def test_one_that_is_not_there_is_said_with_the_nearest(tmp_path: Path):
    agent(tmp_path / "mine" / "tool", "my-tool")
    environ = {"PENSTOCK_AGENT_ROOTS": str(tmp_path / "mine")}
    with pytest.raises(CliFault) as fault:
        find_agent("my-tol", environ)
    assert fault.value.mend == "did you mean my-tool?"
    with pytest.raises(CliFault) as fault:
        find_agent("quite-another", environ)
    assert fault.value.mend == "here are: my-tool"
    with pytest.raises(CliFault, match=r"there is no agent\.yaml"):
        find_agent(str(tmp_path))
    (tmp_path / "agent.yaml").write_text("name: 3\n")
    with pytest.raises(CliFault, match=r"agent\.yaml:1:7: name"):
        find_agent(str(tmp_path))
