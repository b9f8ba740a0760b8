"""What is looked at before anything starts, and what is handed to the stack."""

from __future__ import annotations

import os
from pathlib import Path

from penstock_adapters.embedded.home import StateFolder
from penstock_cli.access import Access
from penstock_cli.demo.verb import source_folder, throw_away_folder
from penstock_cli.doctor.codes import Grade
from penstock_cli.doctor.state_folder import look_at_folder
from penstock_cli.stack_view import stack_environment, what_to_try


def test_agents_see_the_folder_of_the_start_by_default(tmp_path: Path):
    given = stack_environment({"A": "1"}, [], [])
    assert given == {"A": "1", "PENSTOCK_WORKSPACE_ROOTS": str(Path.cwd())}


def test_folders_and_places_that_are_named_win(tmp_path: Path):
    environ = {"PENSTOCK_WORKSPACE_ROOTS": "/elsewhere"}
    assert stack_environment(environ, [], [])["PENSTOCK_WORKSPACE_ROOTS"] == "/elsewhere"
    given = stack_environment(environ, [tmp_path, Path("/srv")], ["a:1", "b:2"])
    assert given["PENSTOCK_WORKSPACE_ROOTS"] == os.pathsep.join([str(tmp_path), "/srv"])
    assert given["PENSTOCK_EGRESS_ALLOW"] == "a:1,b:2"


def test_what_to_try_names_address_token_and_commands(tmp_path: Path):
    access = Access(home=tmp_path / "a folder")
    text = what_to_try(access, "http://127.0.0.1:1", {"PENSTOCK_WORKSPACE_ROOTS": "/src"})
    assert "http://127.0.0.1:1" in text
    assert f"'{tmp_path / 'a folder' / 'credentials' / 'admin.token'}'" in text
    assert "trigger scan" in text


def test_credentials_open_to_others_are_found_with_the_mend(tmp_path: Path):
    folder = StateFolder.at(tmp_path)
    folder.create()
    folder.admin_token.write_text("t")
    folder.admin_token.chmod(0o644)
    broken = [item for item in look_at_folder(folder, os.geteuid()) if item.grade is Grade.BROKEN]
    assert [item.detail for item in broken] == [f"{folder.admin_token} is open to other users"]
    assert broken[0].mend.startswith("`chmod go=")
    folder.admin_token.chmod(0o600)
    assert all(item.grade is Grade.OK for item in look_at_folder(folder, os.geteuid()))


def test_the_throw_away_folder_is_gone_afterwards():
    with throw_away_folder() as folder:
        (folder / "state").mkdir()
        assert folder.is_dir()
    assert not folder.exists()


def test_the_libraries_of_the_source_tree_are_scanned_where_there_is_one():
    assert (source_folder() / "penstock_cli/demo/verb.py").is_file()
    assert not (source_folder() / "tests").exists()
