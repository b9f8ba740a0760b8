"""Who the agent is: never the host's root, where that can be had.

An ordinary user's agents run under that user's uid, without capabilities, in a user namespace of
their own. Under root, mapping root to somebody else is not enough: a process that leaves its
namespaces, or meets a file of root, would be root. So bwrap runs in a user namespace that maps
every id to itself (it may then read what root may: an interpreter below a 0700 home), and the
agent's program is started by `setpriv` under an unprivileged uid, without any capability. Only a
task that is shown files not readable to all (a private repository) keeps one: to read them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

INSIDE_UID = 65534
"""Uid of agents as they see it when an ordinary user runs them."""

HOST_UIDS = (2_000_065_534, 65534)
"""Uids of agents that root runs, the first that is mapped: one nobody has, else `nobody`."""

NAMESPACE_FD = 9
"""Where bwrap finds the namespace to join: one digit, so that any shell can close it again
before the agent begins, and not 0, which bwrap 0.11 takes for "none"."""

NAMESPACE_WAIT_S = 10.0

_MAKE_NAMESPACE = """
import ctypes, sys
result = ctypes.CDLL(None).unshare(0x10000000)
print(result, flush=True)
sys.stdin.read()
"""
_DROP = (
    "import os, sys; os.setgroups([]); os.setresgid({0}, {0}, {0}); os.setresuid({0}, {0}, {0}); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_NEEDED_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")


@dataclass(frozen=True, slots=True)
class Identity:
    """How bwrap is told who the agent is.

    Attributes:
        uid: The agent's uid and gid as it sees them.
        host_uid: Its uid on the host if that is not ours; files it writes belong to it.
        flags: Arguments for bwrap.
        namespace: Descriptor of the user namespace to join; the identity owns it. bwrap expects
            it as `NAMESPACE_FD`.
        prefix: Command inside the sandbox that becomes the agent.
        isolation: The identity in a few words.
        degraded: What is weaker than it should be.
        reader: The same with the one capability to read what it is shown whoever owns it, for
            tasks with files that are not readable to all; None if `self` can read them anyway.
    """

    uid: int
    host_uid: int | None
    flags: tuple[str, ...]
    namespace: int | None
    prefix: tuple[str, ...]
    isolation: str
    degraded: tuple[str, ...] = ()
    reader: Identity | None = None

    def close(self) -> None:
        """Release the descriptor."""
        if self.namespace is not None:
            os.close(self.namespace)


def identities(*, private: bool) -> list[Identity]:
    """The identities possible here, the best first.

    Args:
        private: Some of what every agent needs is not readable to all.
    """
    if os.geteuid() != 0:
        return [_own_user(nested=False), _own_user(nested=True)]
    dropped = _unprivileged()
    if dropped is None or dropped.reader is None or dropped.namespace is None:
        return [_mapped_root()]
    reader = replace(
        dropped.reader,
        namespace=os.dup(dropped.namespace),
        isolation=f"{dropped.isolation}, with the capability to read all it is shown",
    )
    if private:
        dropped.close()
        return [reader, _mapped_root()]
    return [dropped, reader, _mapped_root()]


def _own_user(*, nested: bool) -> Identity:
    """The user who runs the executor; `nested` leaves user namespaces to the system call filter."""
    flags = ("--unshare-user", "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID))
    return Identity(
        uid=INSIDE_UID,
        host_uid=None,
        flags=flags if nested else (*flags, "--disable-userns"),
        namespace=None,
        prefix=(),
        isolation="own user namespace, uid of the executor",
        degraded=("bwrap cannot disable user namespaces here: only seccomp does",)
        if nested
        else (),
    )


def _mapped_root() -> Identity:
    return Identity(
        uid=INSIDE_UID,
        host_uid=None,
        flags=("--unshare-user", "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID)),
        namespace=None,
        prefix=(),
        isolation="own user namespace, root of the host without capabilities",
        degraded=(
            "agents run as the host's uid 0 (without capabilities): run the executor as an "
            "ordinary user, or make the interpreter and the virtual environment readable to all",
        ),
    )


def _unprivileged() -> Identity | None:
    uid = next((uid for uid in HOST_UIDS if _is_mapped(uid)), None)
    namespace = None if uid is None else _identity_namespace()
    if uid is None or namespace is None:
        return None
    capabilities = [item for name in _NEEDED_CAPABILITIES for item in ("--cap-add", name)]
    identity = Identity(
        uid=uid,
        host_uid=uid,
        flags=("--userns", str(NAMESPACE_FD), *capabilities),
        namespace=namespace,
        prefix=_drop_command(uid, "-all"),
        isolation=f"user namespace of the executor, unprivileged uid {uid}",
    )
    reader = replace(
        identity,
        flags=(*identity.flags, "--cap-add", "CAP_DAC_READ_SEARCH"),
        prefix=_drop_command(uid, "-all,+dac_read_search"),
    )
    return replace(identity, reader=reader)


def _drop_command(uid: int, capabilities: str) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if setpriv is None or Path(setpriv).resolve().name == "busybox":
        return (sys.executable, "-I", "-S", "-c", _DROP.format(uid))
    return (
        setpriv,
        f"--reuid={uid}",
        f"--regid={uid}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        f"--bounding-set={capabilities}",
        "--no-new-privs",
    )


def _is_mapped(uid: int) -> bool:
    return any(first <= uid < first + count for first, count in _mapped_ranges("uid_map"))


def _mapped_ranges(name: str) -> list[tuple[int, int]]:
    lines = Path(f"/proc/self/{name}").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[2])) for line in lines]


def _identity_namespace() -> int | None:
    """Make a user namespace that maps each id to itself; its descriptor keeps it alive."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _MAKE_NAMESPACE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as maker:
        try:
            if maker.stdout is None or maker.stdout.readline().strip() != b"0":
                return None
            for name in ("uid_map", "gid_map"):
                ranges = _mapped_ranges(name)
                lines = "".join(f"{first} {first} {count}\n" for first, count in ranges)
                Path(f"/proc/{maker.pid}/{name}").write_text(lines)
            return os.open(f"/proc/{maker.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        finally:
            if maker.stdin is not None:
                maker.stdin.close()
            maker.wait(NAMESPACE_WAIT_S)
