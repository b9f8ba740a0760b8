"""What a container's first process is told."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock_runtime.ports.sandbox import (
    ARTIFACT_ENTRIES_MAX,
    ARTIFACTS_PLACE,
    ENV_ARTIFACTS,
    ENV_EGRESS_SOCKET,
    ENV_INPUT,
    ENV_OUTPUT,
    ENV_WORK,
    INSIDE_ROOT,
    Limits,
    Mount,
    SandboxSpec,
)

EGRESS_SOCKET = f"{INSIDE_ROOT}/egress.sock"

_FIRST_UID, _UIDS = 100_000, 2_000_000_000
_LATE_S = 10.0  # after the executor should have ended a task, its first process does
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def uid_of(memo: str | None) -> int:
    """Draw a uid for a task: the kernel counts processes by uid, on the whole engine.

    Args:
        memo: a task that may be remembered always gets the same one.
    """
    if memo is None:
        return _FIRST_UID + secrets.randbelow(_UIDS)
    return _FIRST_UID + int.from_bytes(hashlib.sha256(memo.encode()).digest()[:8]) % _UIDS


def order_of(
    spec: SandboxSpec, uid: int, *, program: bytes, own: bool, wall_s: float, egress: str = ""
) -> dict[str, Any]:
    """Write a task's order.

    Args:
        spec: the task.
        uid: the agent's.
        program: the call filter.
        own: it runs in this machine's own files, whose paths it needs; an image brings its own.
        wall_s: seconds after which the first process ends the agent by itself.
        egress: the token by which connections to the egress proxy are known; empty without one.
    """
    limits = spec.limits
    env = _environment(spec, own=own, egress=bool(egress))
    return {
        "argv": [os.fsencode(word) for word in spec.command],
        "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
        "uid": uid,
        "input": spec.input,
        "filter": program,
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "cpu_s": float(limits.cpu_s),
        "file_bytes": spec.file_bytes,
        "open_files": limits.open_files,
        "output_bytes": limits.output_bytes,
        "log_bytes": limits.log_bytes,
        "wall_s": wall_s,
        "egress": egress.encode(),
        "growing": [
            (mount.target, *_growth(mount, limits)) for mount in spec.mounts if mount.writable
        ],
    }


def with_artifacts(spec: SandboxSpec) -> SandboxSpec:
    """Let the folder for artifacts be one more workspace, which is brought back at the end."""
    if spec.artifacts is None:
        return spec
    mount = Mount(spec.artifacts, ARTIFACTS_PLACE, writable=True)
    return replace(spec, mounts=(*spec.mounts, mount))


def _growth(mount: Mount, limits: Limits) -> tuple[int, int]:
    """Bytes, and files and folders, that a folder may grow by and hold; 0: any number."""
    if mount.target == ARTIFACTS_PLACE:
        return limits.artifacts_bytes, ARTIFACT_ENTRIES_MAX
    return limits.disk_bytes, 0


def patience(limits: Limits, grace_s: float) -> float:
    """Seconds after which a first process that hears nothing ends the agent by itself."""
    return limits.wall_s + grace_s + _LATE_S


def _environment(spec: SandboxSpec, *, own: bool, egress: bool) -> Mapping[str, str]:
    given = {
        "HOME": f"{INSIDE_ROOT}/work",
        "USER": "agent",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{INSIDE_ROOT}/agent",
        ENV_INPUT: f"{INSIDE_ROOT}/input.json",
        ENV_OUTPUT: f"{INSIDE_ROOT}/output.json",
        ENV_WORK: f"{INSIDE_ROOT}/work",
    }
    if own:
        given["PATH"] = f"{Path(sys.prefix) / 'bin'}:{_SYSTEM_PATH}"
        given["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
    if spec.artifacts is not None:
        given[ENV_ARTIFACTS] = ARTIFACTS_PLACE
    if egress:
        given[ENV_EGRESS_SOCKET] = EGRESS_SOCKET
    return {**given, **spec.env}
