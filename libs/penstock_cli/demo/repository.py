"""A small git repository with planted vulnerabilities, made on the spot."""

from __future__ import annotations

import os
import secrets
import shutil
import string
import subprocess
from pathlib import Path

from penstock_adapters.yaml import read_document
from penstock_cli.faults import CliFault

PLANTED = Path(__file__).with_name("planted.yaml")
GIT_WITHIN_S = 20.0
_UPPER = string.ascii_uppercase + string.digits
_MIXED = string.ascii_letters + string.digits


def make_repository(folder: Path) -> Path:
    """Make the repository at `folder`, readable by everybody, with one commit.

    Raises:
        CliFault: git is missing, or refuses.
    """
    values = {
        "access_key": "AKIA" + _drawn(_UPPER, 16),
        "secret_key": _drawn(_MIXED, 40),
    }
    files = read_document(PLANTED.read_text(encoding="utf-8"), str(PLANTED)).value
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        filled = str(text)
        for key, value in values.items():
            filled = filled.replace(f"%({key})s", value)
        path.write_text(filled, encoding="utf-8")
    git(folder, "init", "--quiet", "--template=")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Open the shop")
    for path in (folder, *folder.rglob("*")):  # a sandboxed agent may be another user
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _drawn(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder as somebody without settings; give what it printed.

    Raises:
        CliFault: git is missing, or refuses.
    """
    program = shutil.which("git")
    if program is None:
        raise CliFault("git is not on PATH", "install git: the demo makes a repository with it")
    who = {"NAME": "Penstock demo", "EMAIL": "demo@localhost"}
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()},
    }
    done = subprocess.run(
        [program, "-C", str(folder), *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=GIT_WITHIN_S,
    )
    if done.returncode:
        raise CliFault(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
