"""Run the stand-in supervisor as somebody else: an ordinary user, or root with less."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from penstock_adapters.embedded.processes import Confinement, launch_argv

ORDINARY = 12_345  # a uid without an account
SUPERVISOR = Path(__file__).with_name("embedded_supervisor.py")
RUNS_WITHIN_S = 30.0


def ordinary(argv: Sequence[str]) -> list[str]:
    """Command line that runs `argv` as an ordinary user; as it is when we are one already.

    The interpreter may live where only root may look: then that place is opened in a private
    mount namespace, and nowhere else.
    """
    if os.geteuid() != 0:
        return list(argv)
    prefix = Path(sys.base_prefix)
    closed = [folder for folder in prefix.parents if not folder.stat().st_mode & stat.S_IXOTH]
    cover, keep = (closed[-1], prefix) if closed else (None, None)
    confinement = Confinement(ORDINARY, ORDINARY, cover, keep)
    return launch_argv(tuple(argv), signal.SIGKILL, confinement)


def obstacle() -> str:
    """Why an ordinary user cannot run this project here, or empty."""
    probe = [sys.executable, "-c", "import penstock_adapters.embedded.detached"]
    done = subprocess.run(
        ordinary(probe), capture_output=True, text=True, check=False, timeout=RUNS_WITHIN_S
    )
    return "" if done.returncode == 0 else f"an ordinary user cannot run Python: {done.stderr}"


def without_namespaces(argv: Sequence[str]) -> list[str]:
    """Command line that runs `argv` as a root that may not make mount namespaces."""
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    return [setpriv, "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "--", *argv]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder below which an ordinary user may have a state folder."""
    with tempfile.TemporaryDirectory(prefix="penstock people ") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, ORDINARY, ORDINARY)
        yield folder
