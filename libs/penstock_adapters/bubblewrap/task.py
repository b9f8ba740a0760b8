"""The host side of one task: its private folder, what is mounted from it, and its output."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from penstock_adapters.bubblewrap.identity import NAMESPACE_FD, Identity
from penstock_adapters.bubblewrap.ownership import change_owner
from penstock_adapters.process.asked import check_spec
from penstock_adapters.process.etc import certificate_bundle
from penstock_adapters.process.output import Output, read_descriptor
from penstock_runtime.ports.sandbox import (
    ARTIFACTS_PLACE,
    ENV_ARTIFACTS,
    ENV_EGRESS_SOCKET,
    ENV_INPUT,
    ENV_OUTPUT,
    ENV_WORK,
    INSIDE_ROOT,
    SandboxSpec,
)

SHARED_MEMORY_BYTES = 64 * 1024 * 1024
"""Size of /dev/shm, where the task's disk limit is not smaller still."""

LOOK_BOUND = 2_000
"""Entries looked at to find out whether a tree is readable to all."""

GLANCE_BOUND = 32
"""Entries looked at on the event loop itself: a thread's turn costs more than they do."""

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_PROGRAMS = f"{INSIDE_ROOT}/.bin"


class TaskFiles:
    """Files of one task in a folder of its own.

    The output is one file, mounted by itself: the agent writes it in place. It can neither be
    replaced by a link nor by a device, and takes up no more of the host's disk than the task's
    limit on the size of a file.
    """

    def __init__(self, folder: Path, spec: SandboxSpec, identity: Identity) -> None:
        self._folder = folder
        self._spec = spec
        self._identity = identity
        self.socket = folder / "egress.sock"
        check_spec(spec)
        _write(folder / "input.json", spec.input)
        self._output = os.open(
            folder / "output.json", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        if identity.host_uid is not None:
            os.fchown(self._output, identity.host_uid, identity.host_uid)

    def arguments(self, view: Sequence[str]) -> list[str]:
        """Arguments for bwrap: scratch space, the view of the host, and what is this task's own.

        /tmp comes before the view, which may lie below it.
        """
        spec, size = self._spec, str(self._spec.limits.disk_bytes)
        shared = str(min(self._spec.limits.disk_bytes, SHARED_MEMORY_BYTES))
        arguments = ["--perms", "1777", "--size", size, "--tmpfs", "/tmp", *view]
        arguments += ["--perms", "1777", "--size", shared, "--tmpfs", "/dev/shm"]
        arguments += ["--remount-ro", "/dev"]
        arguments += ["--perms", "0755", "--dir", INSIDE_ROOT]
        # `python` is this interpreter, even where its folder knows it by another name only.
        arguments += ["--perms", "0755", "--dir", _PROGRAMS]
        arguments += ["--symlink", sys.executable, f"{_PROGRAMS}/python"]
        arguments += ["--perms", "1777", "--size", size, "--tmpfs", f"{INSIDE_ROOT}/work"]
        arguments += self._bind("input.json", "input.json", writable=False)
        arguments += self._bind("output.json", "output.json", writable=True)
        arguments += ["--ro-bind", str(spec.bundle), f"{INSIDE_ROOT}/agent"]
        if spec.artifacts is not None:
            arguments += ["--bind", str(spec.artifacts), ARTIFACTS_PLACE]
        for mount in spec.mounts:
            kind = "--bind" if mount.writable else "--ro-bind"
            for parent in reversed(PurePosixPath(mount.target).parents[:-2]):
                arguments += ["--perms", "0755", "--dir", str(parent)]
            arguments += [kind, str(mount.source), mount.target]
        if spec.egress:
            arguments += self._bind("egress.sock", "egress.sock", writable=False)
        return arguments

    def script(self) -> bytes:
        """The shell script that becomes the agent."""
        lines = [
            f"export {name}={shlex.quote(value)}\n" for name, value in self._environment().items()
        ]
        lines.append(f"exec {shlex.join(self._spec.command)} {NAMESPACE_FD}<&-\n")
        return os.fsencode("".join(lines))

    def _bind(self, name: str, target: str, *, writable: bool) -> list[str]:
        kind = "--bind" if writable else "--ro-bind"
        return [kind, str(self._folder / name), f"{INSIDE_ROOT}/{target}"]

    def _environment(self) -> Mapping[str, str]:
        spec = self._spec
        own = {
            "PATH": f"{Path(sys.prefix) / 'bin'}:{_SYSTEM_PATH}:{_PROGRAMS}",
            "HOME": f"{INSIDE_ROOT}/work",
            "USER": "agent",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{INSIDE_ROOT}/agent",
            ENV_INPUT: f"{INSIDE_ROOT}/input.json",
            ENV_OUTPUT: f"{INSIDE_ROOT}/output.json",
            ENV_WORK: f"{INSIDE_ROOT}/work",
        }
        if certificate_bundle() is not None:
            own["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
        if spec.artifacts is not None:
            own[ENV_ARTIFACTS] = ARTIFACTS_PLACE
        if spec.egress:
            own[ENV_EGRESS_SOCKET] = f"{INSIDE_ROOT}/egress.sock"
        return {**own, **spec.env, **spec.secrets}

    def plainly_readable(self) -> bool:
        """Whether a look too short to need a thread tells that anybody may read all of it."""
        return not self._spec.mounts and readable_to_all(self._spec.bundle, GLANCE_BOUND)

    def readable_to_all(self) -> bool:
        """Whether anybody may read what the agent is shown, as far as a short look can tell."""
        sources = [self._spec.bundle, *(mount.source for mount in self._spec.mounts)]
        return all(readable_to_all(source) for source in sources)

    async def hand_over(self) -> None:
        """Give writable mounts to the agent's uid, where that is not ours."""
        if self._identity.host_uid is not None:
            await self._change_owner(os.geteuid(), self._identity.host_uid)

    async def take_back(self) -> None:
        """Take back what `hand_over` gave, with what the agent made of it."""
        if self._identity.host_uid is not None:
            await self._change_owner(self._identity.host_uid, os.geteuid())

    async def _change_owner(self, old: int, new: int) -> None:
        writable = [mount.source for mount in self._spec.mounts if mount.writable]
        if self._spec.artifacts is not None:
            writable.append(self._spec.artifacts)
        for source in writable:
            await asyncio.to_thread(change_owner, source, old, new)

    @property
    def output_path(self) -> Path:
        """Where the output is, from outside."""
        return self._folder / "output.json"

    def output(self) -> Output:
        """Read what the agent left; called when no process of it is left."""
        return read_descriptor(self._output, self._spec.limits.output_bytes)

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._output)


def readable_to_all(tree: Path, bound: int = LOOK_BOUND) -> bool:
    """Whether all may read everything in a tree; False if it has more than `bound` entries."""
    if not open_to_all(os.lstat(tree)):
        return False
    pending = [str(tree)] if tree.is_dir() else []
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                bound -= 1
                if bound < 0 or not open_to_all(entry.stat(follow_symlinks=False)):
                    return False
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return True


def open_to_all(found: os.stat_result) -> bool:
    """Whether anybody may read a file, or list and enter a folder."""
    if stat.S_ISLNK(found.st_mode):
        return True
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else 0)
    return found.st_mode & needed == needed


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o644)  # the folder above is private; the agent may have another uid
