"""What may be asked of a sandbox: the checks that every isolating adapter makes first."""

from __future__ import annotations

import re

from penstock_runtime.ports.sandbox import INSIDE_ROOT, SandboxSpec

_RESERVED = frozenset({"work", "agent", "input.json", "output.json", "egress.sock", "artifacts"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadSpec(ValueError):
    """A task that cannot be run as it was asked for; the message says why."""


def check_spec(spec: SandboxSpec) -> None:
    """Refuse what would be taken for something else further down.

    Raises:
        BadSpec: The task is malformed.
    """
    if not spec.command:
        raise BadSpec("the command is empty")
    if not spec.bundle.is_dir():
        raise BadSpec("the agent's folder does not exist")
    for text in (*spec.command, *spec.env.values(), *spec.secrets.values()):
        if "\0" in text:
            raise BadSpec("a NUL byte in the command or the environment")
    for name in (*spec.env, *spec.secrets):
        if not _VARIABLE.fullmatch(name):
            raise BadSpec("an environment variable has a malformed name")
    if spec.artifacts is not None and not spec.artifacts.is_dir():
        raise BadSpec("the folder for artifacts does not exist")
    for mount in spec.mounts:
        parts = mount.target.removeprefix(f"{INSIDE_ROOT}/").split("/")
        if not mount.target.startswith(f"{INSIDE_ROOT}/") or {"", ".", ".."} & set(parts):
            raise BadSpec(f"mount target {mount.target} is not a plain path below {INSIDE_ROOT}/")
        first = parts[0]
        if first.startswith(".") or (first in _RESERVED and (len(parts) == 1 or first != "work")):
            raise BadSpec(f"mount target {mount.target} is taken")
        if not mount.source.exists():
            raise BadSpec(f"mount source for {mount.target} does not exist")
