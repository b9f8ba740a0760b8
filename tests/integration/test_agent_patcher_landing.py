"""The patcher between the halves of the executor's git adapter: proposed, landed, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_agent_patcher.models import PatcherInput, Proposal
from penstock_agent_patcher.planning import apply_effect, propose
from penstock_runtime.ports.repositories import ProposedFiles
from penstock_testkit.builders.repositories import File, furnish_with_traps, git
from tests.integration.git_world import GitWorld, run_script

FILES: dict[bytes, File] = {
    b"shop/load.py": File(b"import yaml\r\n\r\ndef load(t):\r\n    return yaml.load(t)\r\n"),
    b"shop/__init__.py": File(b"from .load import load\n"),
    "shop/caf\u00e9 noir.py".encode(): File(b"\xef\xbb\xbf# yaml.load(\n"),
    b"latin.py": File(b"# -*- coding: latin-1 -*-\nx = 'caf\xe9'  # yaml.load("),
    b"run.sh": File(b"#!/bin/sh\n# yaml.load(\n", "100755"),
    b"image.bin": File(b"\0yaml.load(\xff"),
    b"pyproject.toml": File(b'[project]\nname = "shop"\ndependencies = ["pyyaml>=5"]\n'),
    b"compose.yaml": File(b"services:\n  web:\n    image: shop  # built here\n"),
    b"link": File(b"shop/load.py", "120000"),
    b"gone.txt": File(b"old\n"),
    b".gitattributes": File(b"*.txt text eol=crlf\n"),
}
REMOVAL = "--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n"
OPERATIONS = [
    {"type": "find_replace", "find": "yaml.load(", "replace": "yaml.safe_load("},
    {"type": "rename", "file": "shop/load.py", "symbol": "load", "new_name": "parse"},
    {"type": "dependency_update", "name": "PyYAML", "version": "6.0.2"},
    {"type": "config", "file": "compose.yaml", "key": "services.web.read_only", "value": True},
]
WANTED = {
    "shop/load.py": b"import yaml\r\n\r\ndef parse(t):\r\n    return yaml.safe_load(t)\r\n",
    "shop/__init__.py": b"from .load import parse\n",
    "shop/caf\u00e9 noir.py": b"\xef\xbb\xbf# yaml.safe_load(\n",
    "latin.py": b"# -*- coding: latin-1 -*-\nx = 'caf\xe9'  # yaml.safe_load(",
    "run.sh": b"#!/bin/sh\n# yaml.safe_load(\n",
    "pyproject.toml": b'[project]\nname = "shop"\ndependencies = ["pyyaml>=6.0.2"]\n',
    "compose.yaml": b"services:\n  web:\n    image: shop  # built here\n    read_only: true\n",
}


def asked(clone: Path, **fields: object) -> PatcherInput:
    return PatcherInput.model_validate({"repository_path": str(clone), **fields})


async def planned(world: GitWorld, **fields: object) -> None:
    """Plan in a clone, as the executor has it done, and open another to apply in."""
    await world.open()
    made = propose(asked(world.opened.clone, **fields))
    assert isinstance(made, Proposal), made
    proposed = ProposedFiles.read(made.effect())
    world.plan = await world.repositories.plan(world.path, world.opened, proposed)
    await world.open()


@pytest.mark.parametrize("bare", [False, True], ids=["worktree", "bare"])
@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"operations": OPERATIONS}, WANTED),
        ({"patch_content": REMOVAL}, {"gone.txt": None}),
        ({"patch_content": REMOVAL, "target_branch": "main", "message": "Tidy"},
         {"gone.txt": None}),
    ],
    ids=["operations", "removal", "named branch"],
)  # fmt: skip
async def test_what_was_planned_lands_and_can_be_taken_back(
    tmp_path: Path, fields: dict[str, object], wanted: dict[str, bytes | None], *, bare: bool
):
    folder = tmp_path / "w"
    folder.mkdir()
    world = GitWorld(folder, FILES, bare=bare)
    marker = tmp_path / "executed"
    furnish_with_traps(world.git_dir, marker)
    before, everything = world.tip(), world.everything()
    await planned(world, **fields)
    assert world.everything() == everything
    done = apply_effect(asked(world.opened.clone, **fields), world.plan.effect)
    assert (done.applied, set(done.files_modified)) == (True, set(wanted))
    landed = await world.land()
    assert world.tip() == landed.commit != before
    names = git(world.git_dir, "diff", "--name-only", "-z", before, landed.commit)
    assert set(names.decode().split("\0")) - {""} == set(wanted)
    for path, content in wanted.items():
        if content is not None:
            assert git(world.git_dir, "cat-file", "blob", f"main:{path}") == content
            assert bare or (world.path / path).read_bytes() == content
        else:
            assert bare or not (world.path / path).exists()
    ended = run_script(landed.rollback)
    assert ended.returncode == 0, ended.stderr
    assert world.tip() == before
    assert not marker.exists()
