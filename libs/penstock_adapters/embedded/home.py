"""The state folder: where everything of one instance lives, and who may hold it."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from penstock_adapters.embedded.faults import AlreadyRunningError, StateDamagedError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths of one instance. Folders are 0700 and files 0600; parents are never changed.

    Attributes:
        root: the folder itself, absolute, with symbolic links resolved.
    """

    root: Path

    @classmethod
    def at(cls, path: Path) -> StateFolder:
        """Name the state folder at `path` without creating anything."""
        return cls(path.expanduser().resolve())

    @property
    def nats(self) -> Path:
        """JetStream's store and the generated nats-server.conf."""
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        """The database cluster (and as root a copy of the server's programs)."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        """One log file per child process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Lock, process records and the status document."""
        return self.root / "run"

    @property
    def credentials(self) -> Path:
        """Generated secrets and the files that people and tools read."""
        return self.root / "credentials"

    @property
    def admin_token(self) -> Path:
        """The gateway's bootstrap token."""
        return self.credentials / "admin.token"

    @property
    def trigger_creds(self) -> Path:
        """JSON with url, user, password and inbox_prefix of the trigger user."""
        return self.credentials / "trigger.creds"

    @property
    def auditor_url(self) -> Path:
        """JSON object: database name to the auditor's connection URL."""
        return self.credentials / "auditor.url"

    @property
    def grant_key(self) -> Path:
        """The private key of the approval service."""
        return self.credentials / "grant.key"

    @property
    def secrets(self) -> Path:
        """Every generated secret by name."""
        return self.credentials / "secrets.json"

    @property
    def nats_account(self) -> Path:
        """The account that a NATS server of the operator's own includes."""
        return self.credentials / "nats-account.conf"

    @property
    def postgres_roles(self) -> Path:
        """The script that creates databases and roles in a PostgreSQL of the operator's own."""
        return self.credentials / "postgres-roles.sql"

    @property
    def status(self) -> Path:
        """JSON document the supervisor keeps up to date."""
        return self.run / "status.json"

    def create(self) -> None:
        """Create the folder and its parts; what exists keeps its content and is narrowed to us."""
        self.root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for part in (self.nats, self.logs, self.run, self.credentials):
            part.mkdir(mode=FOLDER_MODE, exist_ok=True)
            part.chmod(FOLDER_MODE)

    def log_file(self, name: str) -> Path:
        """Log file of the child called `name`."""
        return self.logs / f"{name}.log"


def write_private(path: Path, text: str, mode: int = FILE_MODE, *, durable: bool = True) -> None:
    """Replace `path` by `text` in one step; nobody sees a half-written or readable file.

    Args:
        path: file to replace.
        text: its new content.
        mode: its permissions.
        durable: False where a loss of power may lose it.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            _ = file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        _ = Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_object(path: Path) -> dict[str, object] | None:
    """Read a JSON object, or None when there is no such file.

    Raises:
        StateDamagedError: the file is not a JSON object.
    """
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError as error:  # neither JSON nor even UTF-8
        raise StateDamagedError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise StateDamagedError(f"{path} does not hold a JSON object")
    return cast("dict[str, object]", value)


class FolderLock:
    """Exclusive hold on a state folder; the kernel frees it when the process ends, however."""

    def __init__(self, folder: StateFolder) -> None:
        """Prepare a lock on `folder`, which must have been created."""
        self._path: Path = folder.run / "supervisor.lock"
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            AlreadyRunningError: another process holds it.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise AlreadyRunningError(
                f"another supervisor already runs on {self._path.parent.parent}; "
                "stop it with `penstock down` or choose another folder with PENSTOCK_HOME"
            ) from None
        self._handle = handle

    def release(self) -> None:
        """Give the lock up; without effect when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        """Acquire."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release."""
        self.release()
