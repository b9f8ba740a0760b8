"""`penstock demo`: the whole story, once as it should be, once interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_cli.app import run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]
WITHIN_S = 120
DEMO = [sys.executable, "-P", "-m", "penstock_cli", "demo"]


def environment(folder: Path) -> dict[str, str]:
    # A state folder and an address of somebody else must not matter.
    others = {"PENSTOCK_HOME": str(folder / "others"), "PENSTOCK_URL": "http://127.0.0.1:1"}
    return {**os.environ, "TMPDIR": str(folder), **others}


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that have anything to do with `folder`."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            told = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command + told:
            found.append(command)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for temporary files that root's PostgreSQL and agents can enter.

    Not below pytest's own folders: opening those would be felt by tests that run beside this.
    """
    with tempfile.TemporaryDirectory(prefix="penstock demo ") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


def test_the_story_ends_well_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(sys, "stdin", None)  # as with a closed standard input
    code = run(["demo"])
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    said = told.out
    rebuilt = re.search(r"rebuilt from the store +([0-9a-f]{64})", said)
    served = re.search(r"served by the gateway +([0-9a-f]{64})", said)
    assert rebuilt, said
    assert served, said
    assert rebuilt[1] == served[1]
    assert "the demo approves" in said
    assert "CWE-89" in said
    assert "+    return hashlib.sha256(" in said
    assert "Approved-By: admin" in said
    assert "11 findings before, 8 after" in said
    assert '"after": 6' in said
    assert '"title": "Penstock demo"' in said
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_story_leaves_nothing(folder: Path, number: signal.Signals):
    with subprocess.Popen(
        DEMO,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "acknowledged by TRIGGERS" in line:
                process.send_signal(number)
                break
        rest = process.stdout.read()
        code = process.wait(WITHIN_S)
    assert code == 130, rest
    assert "nothing is left running" in rest
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []
