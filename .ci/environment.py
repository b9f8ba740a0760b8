"""Makes .venv exactly what the lock file says; does nothing when it already is.

Needs a bare Python 3.11 or newer with venv. Safe to start from several terminals at once:
a file lock lets one work and the others wait. The stamp names everything the environment
depends on, its own path included, so a moved checkout is installed afresh.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
LOCK_FILE = ROOT / ".venv.lock"
REQUIREMENTS = ROOT / "requirements-dev.lock"
MINIMUM_PYTHON = (3, 11)


def fingerprint() -> list[str]:
    """Everything that, when it changes, makes the environment stale.

    Returns:
        Two digests: what the installed packages depend on, and what this project's own
        installation depends on.
    """
    packages = hashlib.sha256(f"{VENV}\0{sys.version}\0{os.uname().machine}\0".encode())
    for path in (REQUIREMENTS, Path(__file__)):
        packages.update(path.read_bytes())
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    return [packages.hexdigest(), project.hexdigest()]


def installed() -> list[str]:
    """The fingerprint of the finished installation that is in place, else nothing."""
    try:
        stamp = STAMP.read_text().split()
    except OSError:
        return []
    return stamp if (VENV / "bin" / "penstock").exists() else []


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Lets one process at a time build the environment."""
    with LOCK_FILE.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def create() -> None:
    """Creates the empty environment.

    Raises:
        SystemExit: this Python cannot make one; the message names the mend.
    """
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    except (subprocess.CalledProcessError, ImportError) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"{sys.executable} cannot create a virtual environment with pip in it.\n"
            f"On Debian or Ubuntu: apt-get install python{version}-venv"
        ) from error


def pip(*arguments: str) -> None:
    """Runs the environment's pip install.

    Raises:
        CalledProcessError: it failed, after it has said why.
    """
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check"]
    if os.geteuid() == 0:
        command += ["--root-user-action", "ignore"]
    subprocess.run([*command, *arguments], cwd=ROOT, check=True)


def bring_up_to_date(wanted: list[str]) -> None:
    """Installs the locked packages if they changed, then this project, resolving nothing."""
    if installed()[:1] != wanted[:1]:
        print("setting up .venv from requirements-dev.lock (once, about a minute) ...", flush=True)
        create()
        pip("--require-hashes", "-r", REQUIREMENTS.name)
    pip("--no-deps", "--no-build-isolation", "--editable", ".")
    STAMP.write_text("\n".join(wanted))


def main() -> int:
    """Brings .venv up to date and returns an exit code."""
    if sys.version_info < MINIMUM_PYTHON:
        print(f"Penstock needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
        return 1
    wanted = fingerprint()
    if installed() == wanted:
        return 0
    with only_one():
        if installed() == wanted:  # another process has just finished
            return 0
        started = time.monotonic()
        try:
            bring_up_to_date(wanted)
        except subprocess.CalledProcessError as error:
            print(f"installation failed with exit code {error.returncode}", file=sys.stderr)
            return 1
        print(f".venv is ready after {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
