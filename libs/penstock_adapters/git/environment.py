"""What git is told before it reads anything of a repository's own.

Three facts carry the safety of this package:

- the environment is made from nothing, so neither the host's nor a user's configuration counts;
- what a repository's own configuration could have executed or prolonged is set here, and what is
  set by `GIT_CONFIG_COUNT` outranks it;
- only commands that run no driver of an attribute (filter, diff, merge) are ever used on it.
"""

from __future__ import annotations

import os
from pathlib import Path

_NOWHERE = "/nonexistent"
_LOCK_WAIT_MS = "1000"  # for another git that has a branch or all of them locked

_CONFIG = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.splitIndex", "false"),
    ("core.alternateRefsCommand", "false"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.editor", "false"),
    ("core.pager", "cat"),
    ("core.quotePath", "false"),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("commit.gpgSign", "false"),
    ("gpg.program", "false"),
    ("submodule.recurse", "false"),
    # A git outlives an executor that is killed, but never long enough to move a branch after
    # somebody has looked where it is.
    ("core.filesRefLockTimeout", _LOCK_WAIT_MS),
    ("core.packedRefsTimeout", _LOCK_WAIT_MS),
    ("reftable.lockTimeout", _LOCK_WAIT_MS),
    ("uploadpack.packObjectsHook", "false"),
    # A repository is named by an explicit GIT_DIR, after its owner and its place were looked at.
    ("safe.directory", "*"),
)

_DURABLE = ("core.fsync", "committed")

_FIXED = {
    "HOME": _NOWHERE,
    "XDG_CONFIG_HOME": _NOWHERE,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ADVICE": "0",
    # A missing object of a partial clone is missing: its remote may be a command.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    # What is approved is what the objects say, not what stands in for them.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_AUTHOR_NAME": "Penstock",
    "GIT_AUTHOR_EMAIL": "penstock@localhost",
    "GIT_COMMITTER_NAME": "Penstock",
    "GIT_COMMITTER_EMAIL": "penstock@localhost",
}


def environment(
    git_dir: Path,
    *,
    worktree: Path | None = None,
    index: Path | None = None,
    borrowed: Path | None = None,
    durable: bool = False,
) -> dict[str, str]:
    """Make the whole environment of one git command.

    Args:
        git_dir: the repository.
        worktree: its files, for a command that looks at them.
        index: another index than the repository's own.
        borrowed: another object folder, read where the repository lacks an object.
        durable: objects are on the disk before anything names them; git's own default leaves
            the loose ones to the kernel.
    """
    env = dict(_FIXED)
    env["PATH"] = os.environ.get("PATH", os.defpath)
    env["GIT_DIR"] = str(git_dir)
    if worktree is not None:
        env["GIT_WORK_TREE"] = str(worktree)
    if index is not None:
        env["GIT_INDEX_FILE"] = str(index)
    if borrowed is not None:
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(borrowed)
    config = (*_CONFIG, _DURABLE) if durable else _CONFIG
    env["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (name, value) in enumerate(config):
        env[f"GIT_CONFIG_KEY_{number}"] = name
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env
