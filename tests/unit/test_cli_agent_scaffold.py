"""`penstock agent new`: names, places, and that nothing is ever overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from penstock_cli.agent.scaffold import (
    Language,
    Template,
    check_name,
    example_of,
    make_agent,
    package_of,
)
from penstock_cli.faults import CliFault


@pytest.mark.parametrize("name", ["a", "todo-finder", "a_b", "9lives", "x" * 63])
def test_a_name_that_a_manifest_takes(name: str):
    check_name(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Todo Finder", "todo-finder would do"),
        ("-a-", "a would do"),
        ("../../etc", "etc would do"),
        ("x" * 64, f"{'x' * 63} would do"),
        ("a\n", "a would do"),
        ("!!", "as in todo-finder"),
        ("", "as in todo-finder"),
    ],
)
def test_another_is_refused_with_one_that_would_do(name: str, near: str, tmp_path: Path):
    with pytest.raises(CliFault) as fault:
        make_agent(name, Template.ANALYSIS, Language.PYTHON, tmp_path / "new")
    assert fault.value.mend.endswith(near)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("todo-finder", "todo_finder"),
        ("json", "agent_json"),
        ("class", "agent_class"),
        ("9lives", "agent_9lives"),
        ("pydantic", "agent_pydantic"),
        ("tests", "agent_tests"),
    ],
)
def test_its_package_hides_no_module(name: str, package: str):
    assert package_of(name) == package


@pytest.mark.parametrize("language", Language)
def test_an_empty_folder_is_filled_and_a_full_one_left_alone(tmp_path: Path, language: Language):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    files = make_agent("one", Template.ANALYSIS, language, folder)
    assert files == sorted(files)
    before = {name: (folder / name).read_bytes() for name in files}
    with pytest.raises(CliFault, match="is there already"):
        make_agent("two", Template.NOTIFICATION, language, folder)
    assert {name: (folder / name).read_bytes() for name in files} == before
    assert [path.name for path in folder.parent.iterdir()] == ["er"]


def test_a_file_in_the_way_is_left_alone(tmp_path: Path):
    place = tmp_path / "one"
    place.write_text("mine")
    with pytest.raises(CliFault, match="is there already"):
        make_agent("one", Template.ANALYSIS, Language.PYTHON, place)
    assert place.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CliFault, match="cannot be written"):
        make_agent("one", Template.ANALYSIS, Language.PYTHON, tmp_path / "file" / "one")


def test_the_program_of_another_language_is_executable(tmp_path: Path):
    make_agent("one", Template.ANALYSIS, Language.ANY, tmp_path / "one")
    mode = (tmp_path / "one/run").stat().st_mode
    assert mode & stat.S_IXUSR
    assert not (tmp_path / "one/agent.yaml").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("template", Template)
def test_what_to_do_next_names_the_folder(template: Template):
    assert example_of(template, "'my agent'").startswith("penstock agent run 'my agent' ")
