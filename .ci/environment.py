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


def fingerprint() -> str:
    """Everything that, when it changes, makes the environment stale."""
    digest = hashlib.sha256()
    digest.update(f"{VENV}\0{sys.version}\0{os.uname().machine}\0".encode())
    for path in (REQUIREMENTS, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(wanted: str) -> bool:
    """Whether a finished installation of exactly this lock is in place."""
    try:
        return STAMP.read_text() == wanted and (VENV / "bin" / "penstock").exists()
    except OSError:
        return False


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


def install() -> None:
    """Installs the locked packages, then this project without resolving anything."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    pip += ["--disable-pip-version-check"]
    if os.geteuid() == 0:
        pip += ["--root-user-action", "ignore"]
    subprocess.run([*pip, "--require-hashes", "-r", REQUIREMENTS.name], cwd=ROOT, check=True)
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--editable", "."], cwd=ROOT, check=True
    )


def main() -> int:
    """Brings .venv up to date and returns an exit code."""
    if sys.version_info < MINIMUM_PYTHON:
        print(f"Penstock needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
        return 1
    wanted = fingerprint()
    if is_current(wanted):
        return 0
    with only_one():
        if is_current(wanted):  # another process has just finished
            return 0
        started = time.monotonic()
        print("setting up .venv from requirements-dev.lock (once, about a minute) ...", flush=True)
        create()
        try:
            install()
        except subprocess.CalledProcessError as error:
            print(f"installation failed with exit code {error.returncode}", file=sys.stderr)
            return 1
        STAMP.write_text(wanted)
        print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
