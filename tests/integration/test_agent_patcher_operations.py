"""Operations on a whole repository: in order, all or none, with every obstacle named."""

from pathlib import Path

import pytest

from penstock_agent_patcher.models import PatcherOutput, Proposal
from penstock_agent_sdk import AgentError
from tests.integration.patcher_repository import Bare, Entry, bare

UPDATE = {"type": "dependency_update", "name": "requests", "version": "2.32.1"}


def replace(find: str, new: str, **fields: object) -> dict[str, object]:
    return {"type": "find_replace", "find": find, "replace": new, **fields}


def config(file: str, key: object, value: object = None, **fields: object) -> dict[str, object]:
    return {"type": "config", "file": file, "key": key, "value": value, **fields}


@pytest.fixture
def repository(tmp_path: Path) -> Bare:
    files: dict[str, Entry] = {
        "shop/load.py": b"import yaml\n\ndef load(text):\n    return yaml.load(text)\n",
        "shop/more.py": b"import yaml\r\nx = yaml.load('a')\r\ny = yaml.load('b')",
        "run.py": ("100755", b"#!/usr/bin/env python\nprint('yaml.load(x)')\n"),
        "requirements.txt": b"requests==2.31.0\nflask\n",
        "pyproject.toml": b'[project]\nname = "shop"\ndependencies = ["requests>=2.31"]\n',
        "poetry.lock": b"",
        "web/package.json": b'{"dependencies": {"requests": "^2.0.0"}}\n',
        "web/package-lock.json": b"{}\n",
        "web/node_modules/x/package.json": b'{"dependencies": {"requests": "^1.0.0"}}\n',
        "config.yaml": b"a: 1  # one\n",
        "data.json": b'{"a": "yaml.load"}',
        "image.bin": b"\0yaml.load(\0",
        "link.py": ("120000", b"yaml.load("),
        "broken.py": b"print 'yaml.load('\n",
    }
    return bare(tmp_path / "c.git", files)


def test_a_security_patch_over_many_files(repository: Bare):
    operation = replace("yaml.load(", "yaml.safe_load(", files=["*.py"], expected=5)
    made = repository.plan(operations=[operation])
    assert isinstance(made, Proposal)
    assert {(each.path, each.mode) for each in made.files} == {
        ("broken.py", "100644"),
        ("run.py", "100755"),
        ("shop/load.py", "100644"),
        ("shop/more.py", "100644"),
    }
    more = next(each.blob for each in made.files if each.path == "shop/more.py")
    assert repository.git("cat-file", "blob", str(more)) == (
        b"import yaml\r\nx = yaml.safe_load('a')\r\ny = yaml.safe_load('b')"
    )
    assert "5 replacements in 4 files" in made.summary


@pytest.mark.parametrize(
    ("operation", "file", "reason"),
    [
        (replace("yaml.load(", "x(", files=["shop/"], expected=2), "shop/load.py",
         "3 replacements instead of 2"),
        (replace("nowhere", "x", expected=1), "", "0 replacements instead of 1: nowhere"),
        (replace("yaml.load(text)", "yaml.load(text", files=["shop/*"]), "shop/load.py",
         "no longer be readable: line 4"),
        (replace('"a"', '"a', files=["*.json"]), "data.json", "no longer be readable"),
        (replace("= [", "= [[", files=["*.toml"]), "pyproject.toml", "no longer be readable"),
        (replace("a: 1", "a: [", files=["*.yaml"]), "config.yaml", "no longer be readable"),
        (replace("x", "y", files=["absent/**"]), "", "no file matches"),
        ({**UPDATE, "name": "absent"}, "", "declared in no manifest"),
        ({**UPDATE, "files": ["web/"], "version": "~!3"}, "web/package.json", "no version range"),
        ({**UPDATE, "version": "nonsense"}, "requirements.txt", "no version"),
        (config("absent.yaml", "a", 1), "absent.yaml", "no such file"),
        (config("config.yaml", "a", 1, action="create"), "config.yaml", "there already"),
        (config("config.yaml", "b", action="delete"), "config.yaml", "not there"),
        (config("run.py", "a", 1), "run.py", "only .yaml"),
        (config("link.py", "a", 1), "link.py", "no such file"),
    ],
)  # fmt: skip
def test_one_obstacle_is_enough(
    repository: Bare, operation: dict[str, object], file: str, reason: str
):
    first = config("config.yaml", "added", True)
    found = repository.refusal(operations=[first, operation])
    assert file in [each for each, _ in found]
    assert any(reason in each for _, each in found)


def test_versions_change_in_every_manifest_and_stale_locks_are_named(repository: Bare):
    made = repository.plan(operations=[UPDATE])
    assert isinstance(made, Proposal)
    assert made.message == "Update requests to 2.32.1"
    contents = {
        each.path: repository.git("cat-file", "blob", str(each.blob)) for each in made.files
    }
    assert contents == {
        "requirements.txt": b"requests==2.32.1\nflask\n",
        "pyproject.toml": b'[project]\nname = "shop"\ndependencies = ["requests>=2.32.1"]\n',
        "web/package.json": b'{"dependencies": {"requests": "^2.32.1"}}\n',
    }
    assert "poetry.lock is not updated" in made.summary
    assert "web/package-lock.json is not updated" in made.summary


def test_an_ecosystem_and_files_narrow_an_update(repository: Bare):
    assert set(repository.changed(operations=[{**UPDATE, "ecosystem": "npm"}])) == {
        "web/package.json"
    }
    assert set(repository.changed(operations=[{**UPDATE, "files": ["requirements*"]}])) == {
        "requirements.txt"
    }


def test_a_broken_manifest_elsewhere_is_no_obstacle(repository: Bare):
    repository.commit({"requirements.txt": b"requests==1\n", "x/package.json": b"{"})
    assert set(repository.changed(operations=[UPDATE])) == {"requirements.txt"}


@pytest.mark.parametrize("name", ["zope-interface", "Zope.Interface", "zope_interface"])
def test_a_package_is_found_however_its_name_is_written(repository: Bare, name: str):
    repository.commit({"requirements.txt": b"zope.interface==1.0\n"})
    operation = {**UPDATE, "name": name, "version": "2.0"}
    assert repository.changed(operations=[operation]) == {
        "requirements.txt": b"zope.interface==2.0\n"
    }


def test_large_files_are_passed_over_and_named(repository: Bare):
    repository.commit({"big.txt": b"needle" + b"\n" * (4 * 1024 * 1024), "small.txt": b"needle"})
    made = repository.plan(operations=[replace("needle", "pin")])
    assert isinstance(made, Proposal)
    assert [each.path for each in made.files] == ["small.txt"]
    assert "big.txt is over" in made.summary


@pytest.mark.parametrize("name", ["a\nb.txt", "a\u202etxt.py", "a\x1b[31m.txt"])
def test_names_that_hide_something_are_refused(repository: Bare, name: str):
    repository.commit({name: b"needle"})
    [(file, reason)] = repository.refusal(operations=[replace("needle", "pin")])
    assert (file, "hides characters" in reason) == (ascii(name), True)


def test_names_of_other_scripts_are_not(repository: Bare):
    name = "\u8cc7\u6599\u3000\u4e00.txt"
    repository.commit({name: b"needle"})
    assert repository.changed(operations=[replace("needle", "pin")]) == {name: b"pin"}


def test_a_message_made_up_here_claims_nothing(repository: Bare):
    operation = replace("yaml.load(text)", "x", files=["*.py", "nowhere\n\nApproved-By: root"])
    made = repository.plan(operations=[operation] * 25)
    assert isinstance(made, Proposal)
    assert made.message.count("\n") == 22
    assert all(line.startswith("- ") for line in made.message.splitlines()[2:])


def test_operations_build_on_each_other(repository: Bare):
    operations = [
        config("config.yaml", "b", {"c": [1]}),
        replace("c:", "d:", files=["config.yaml"], expected=1),
        config("config.yaml", "b.d.1", 2),
        config("config.yaml", "a", action="delete"),
    ]
    changed = repository.changed(operations=operations)
    assert changed == {"config.yaml": b"b:\n  d:\n    - 1\n    - 2\n"}


def test_what_is_undone_again_is_no_change(repository: Bare):
    operations = [config("config.yaml", "a", 2), config("config.yaml", "a", 1)]
    made = repository.plan(operations=operations)
    assert isinstance(made, PatcherOutput)
    assert (made.applied, made.files_modified, made.conflicts) == (False, (), ())


def test_notes_are_not_pushed_out_by_the_list_of_operations(repository: Bare):
    idle = [replace("absent", f"a text that is {n}", files=["config.yaml"]) for n in range(49)]
    made = repository.plan(operations=[{**UPDATE, "version": "2.32.1"}, *idle])
    assert isinstance(made, Proposal)
    assert "poetry.lock is not updated" in made.summary
    assert made.summary.endswith("(more is left out)")
    assert len(made.summary) <= 1_024


def test_nothing_to_do_says_so(repository: Bare):
    operations = [
        config("config.yaml", "a", 1),
        {**UPDATE, "version": "2.31.0", "files": ["requirements.txt"]},
        replace("absent", "x"),
    ]
    made = repository.plan(operations=operations)
    assert isinstance(made, PatcherOutput)
    assert made.notes == (
        "operation 1: config.yaml: a is as wanted already",
        "operation 2: requests is declared as wanted already",
        "operation 3: 0 replacements in 0 files",
    )


def test_a_dry_run_of_operations_shows_the_diff(repository: Bare):
    made = repository.plan(operations=[config("config.yaml", "a", 2)], dry_run=True)
    assert isinstance(made, PatcherOutput)
    assert "-a: 1  # one\n+a: 2  # one\n" in made.diff
    assert made.files_modified == ("config.yaml",)


def test_a_malformed_operation_is_declared(repository: Bare):
    with pytest.raises(AgentError, match="invalid_operation"):
        repository.plan(operations=[replace("(", "x", regex=True)])


def test_all_that_is_planned_can_be_applied(repository: Bare):
    operations = [
        UPDATE,
        replace("yaml.load(", "yaml.safe_load(", files=["*.py"]),
        {"type": "rename", "file": "shop/load.py", "symbol": "load", "new_name": "read"},
        config("config.yaml", "b", "\u00e9"),
        config("data.json", "a", action="delete"),
    ]
    made = repository.plan(operations=operations)
    assert isinstance(made, Proposal)
    assert made.message.startswith("Apply 5 changes\n\n- Update requests to 2.32.1\n")
    done = repository.apply(repository.approved(made), operations=operations)
    assert done.applied is True
    assert set(done.files_modified) == {each.path for each in made.files}
