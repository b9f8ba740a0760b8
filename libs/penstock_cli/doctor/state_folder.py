"""The state folder: whose it is, who may read it, and whether what is in it can be read."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.faults import StateDamagedError
from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.status import StackState, read_status
from penstock_adapters.signing import KeyFault, open_signer
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_cli.stack_view import relative

SUBJECT: Final = "state folder"
OTHERS: Final = 0o077
YOUR_COPY: Final = "your copy of that folder (`penstock backup` does not hold it)"


def look_at_folder(folder: StateFolder, uid: int) -> Iterator[Finding]:
    """Judge the folder; nothing in it is opened for writing."""
    root = folder.root
    if root.exists() and not root.is_dir():
        mend = f"move it away (`mv {relative(root)} {relative(root)}.old`), or set PENSTOCK_HOME"
        yield found(Code.STATE_NOT_A_FOLDER, SUBJECT, "is a file", str(root), mend)
        return
    here = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(here, os.W_OK) and (here != root or root.stat().st_uid == uid):
        mend = "choose another with PENSTOCK_HOME or --home"
        yield found(Code.STATE_NOT_WRITABLE, SUBJECT, "cannot be written", str(here), mend)
    if not root.is_dir():
        yield well(SUBJECT, f"{root} (made by `penstock up`)")
        return
    faults = [*_ownership(root, uid)]
    try:
        faults += [*_permissions(folder), *_documents(folder), *_lock(folder)]
    except PermissionError as error:
        mend = "run this as the user who started the stack (`ls -ld` shows who that is)"
        detail = f"{error.filename} may not be read"
        faults = faults or [found(Code.STATE_FOREIGN, SUBJECT, detail, str(root), mend)]
    yield from faults
    if not faults:
        yield well(SUBJECT, f"{root}, credentials private")


def _ownership(root: Path, uid: int) -> Iterator[Finding]:
    owner = root.stat().st_uid
    if owner != uid:
        mend = (
            f"run as the user with the number {owner}; to take a stopped stack over: "
            f"`chown -R {uid} {relative(root)}`"
        )
        detail = f"belongs to user {owner}, and you are {uid}"
        yield found(Code.STATE_FOREIGN, SUBJECT, detail, str(root), mend)


def _permissions(folder: StateFolder) -> Iterator[Finding]:
    for path in _private(folder):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            yield found(
                Code.STATE_OPEN,
                "permissions",
                f"{path} is open to other users",
                str(path),
                f"`chmod go= '{path}'`; if others may have read it: "
                "`penstock down`, remove it, `up`",
            )


def _private(folder: StateFolder) -> Iterator[Path]:
    if folder.credentials.is_dir():
        yield folder.credentials
        yield from (path for path in folder.credentials.iterdir() if path.is_file())


# --- what is in it ------------------------------------------------------------------------------


def _documents(folder: StateFolder) -> Iterator[Finding]:
    yield from _secrets(folder)
    yield from _status(folder)
    if folder.grant_key.is_file():
        yield from _grant_key(folder.grant_key)
    if (folder.run / "ports.json").is_file() and not _readable(folder.run / "ports.json"):
        yield _garbled(folder.run / "ports.json", "is not a JSON object")


def _secrets(folder: StateFolder) -> Iterator[Finding]:
    restore = (
        f"put {relative(folder.secrets)} back from {YOUR_COPY}; without one, bus and databases "
        "cannot be opened: begin anew in another PENSTOCK_HOME"
    )
    try:
        secrets = read_object(folder.secrets)
    except (StateDamagedError, OSError):
        where = str(folder.secrets)
        yield found(Code.CREDENTIALS_GARBLED, "credentials", "cannot be read", where, restore)
        return
    if secrets is None:
        if _holds_data(folder):
            detail = "there is data, and no secrets to open it with"
            where = str(folder.secrets)
            yield found(Code.CREDENTIALS_MISSING, "credentials", detail, where, restore)
        return
    if not all(isinstance(value, str) and value for value in secrets.values()):
        detail, where = "holds what is no secret", str(folder.secrets)
        yield found(Code.CREDENTIALS_GARBLED, "credentials", detail, where, restore)
    if not folder.status.is_file():
        return  # never started: the other files are written at the first start
    for path in (folder.admin_token, folder.trigger_creds, folder.auditor_url):
        if not path.is_file():
            yield found(
                Code.CREDENTIAL_FILE_MISSING, "credentials", f"{path.name} is missing", str(path),
                f"{Relief.RESTART} writes it again",
            )  # fmt: skip


def _holds_data(folder: StateFolder) -> bool:
    return (folder.postgres / "data").is_dir() or (folder.nats / "store").is_dir()


def _status(folder: StateFolder) -> Iterator[Finding]:
    try:
        read_status(folder)
    except StateDamagedError:
        yield _garbled(folder.status, "is not what a supervisor writes")


def _garbled(path: Path, detail: str) -> Finding:
    mend = f"`rm {relative(path)}`, then {Relief.RESTART}"
    return found(Code.STATE_GARBLED, SUBJECT, detail, str(path), mend)


def _readable(path: Path) -> bool:
    try:
        return read_object(path) is not None
    except StateDamagedError:
        return False


def _grant_key(path: Path) -> Iterator[Finding]:
    try:
        open_signer(path.read_text(encoding="utf-8"))
    except (KeyFault, UnicodeDecodeError):
        mend = (
            f"put it back from {YOUR_COPY}; else `rm {relative(path)}`, then {Relief.RESTART}, "
            "and what is approved and not begun has to be approved again"
        )
        yield found(Code.GRANT_KEY_GARBLED, "credentials", "holds no key", str(path), mend)
    except OSError:
        return  # another user's; said already


# --- the lock -----------------------------------------------------------------------------------


def _lock(folder: StateFolder) -> Iterator[Finding]:
    """Judge the lock of a stack that does not run."""
    path = folder.run / "supervisor.lock"
    try:
        over = read_status(folder).state in (
            StackState.STOPPED, StackState.FAILED, StackState.DEAD,
        )  # fmt: skip
        held = over and path.is_file() and _is_held(path)
    except (StateDamagedError, OSError):
        return
    if held:
        holder = _holder(path)
        who = f"process {holder}" if holder else "another process"
        mend = f"end it: `kill {holder}`" if holder else f"`fuser {path}` names it; end it"
        yield found(
            Code.STATE_LOCKED, SUBJECT, f"{who} holds its lock, and no stack runs", str(path), mend
        )


def _is_held(path: Path) -> bool:
    """Try a shared lock, given back at once, where the kernel says that there is one."""
    if _holder(path) is None:
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _holder(path: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """Find who holds the lock: `1: FLOCK ADVISORY WRITE 123 08:01:4711 0 EOF`; 0: not to be seen.

    None: nobody.
    """
    inode = str(path.stat().st_ino)
    try:
        lines = locks.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[5].rpartition(":")[2] == inode:
            return max(int(fields[4]), 0)
    return None
