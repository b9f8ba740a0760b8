"""Git repositories for tests, made without touching anybody's configuration.

`furnish_with_traps` gives a repository everything that git would run for it: hooks, filters, a
file system monitor, aliases, a remote that is a command. Each of them writes the same marker.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIT_TIMEOUT_S = 30.0

HOOKS = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
]

_TRAPS = """\
[core]
\tfsmonitor = {trap}
\thooksPath = {hooks}
\talternateRefsCommand = {trap}
\tsshCommand = {trap}
\tpager = {trap}
\teditor = {trap}
\taskPass = {trap}
[filter "trap"]
\tclean = {trap}
\tsmudge = {trap}
\trequired = true
[filter "trapped"]
\tprocess = {trap}
[diff]
\texternal = {trap}
[diff "trap"]
\ttextconv = {trap}
\tcommand = {trap}
[merge "trap"]
\tdriver = {trap}
[gpg]
\tprogram = {trap}
[commit]
\tgpgSign = true
[credential]
\thelper = {trap}
[uploadpack]
\tpackObjectsHook = {trap}
[interactive]
\tdiffFilter = {trap}
[sequence]
\teditor = {trap}
[trace2]
\tnormalTarget = {marker}
[remote "origin"]
\turl = ext::{trap} remote
\tuploadpack = {trap}
\tpromisor = true
\tpartialCloneFilter = blob:none
[alias]
{aliases}
[include]
\tpath = more-traps
"""
_ALIASED = [
    "cat-file",
    "check-attr",
    "config",
    "diff-tree",
    "for-each-ref",
    "index-pack",
    "ls-files",
    "ls-tree",
    "pack-objects",
    "read-tree",
    "rev-list",
    "symbolic-ref",
    "unpack-objects",
    "update-index",
    "update-ref",
    "write-tree",
]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree; of a submodule (mode 160000) the content is the id of its commit."""

    content: bytes
    mode: str = "100644"


def safe_environment(git_dir: Path, **more: str) -> dict[str, str]:
    """An environment in which git runs nothing of a repository's own."""
    settings = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "protocol.allow": "never"}
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_DIR": str(git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
    }
    for number, (name, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return env | more


def git(git_dir: Path, *args: str, stdin: bytes = b"", **more: str) -> bytes:
    """Run git on a repository without giving its traps a chance."""
    return subprocess.run(
        ["git", *args],
        input=stdin,
        env=safe_environment(git_dir, **more),
        cwd="/",
        check=True,
        stdout=subprocess.PIPE,
        timeout=GIT_TIMEOUT_S,
    ).stdout


def object_id(content: bytes, kind: str = "blob", *, sha256: bool = False) -> str:
    """The id of an object, worked out without git."""
    whole = f"{kind} {len(content)}\0".encode() + content
    if sha256:
        return hashlib.sha256(whole).hexdigest()
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


def put_object(git_dir: Path, content: bytes, *, sha256: bool = False, name: str = "") -> str:
    """Write a loose blob, as an agent does; `name` lies about its id."""
    name = name or object_id(content, sha256=sha256)
    folder = git_dir / "objects" / name[:2]
    folder.mkdir(exist_ok=True)
    file = folder / name[2:]
    if not file.exists():
        file.write_bytes(zlib.compress(f"blob {len(content)}\0".encode() + content))
    return name


def make_repository(
    git_dir: Path,
    files: Mapping[bytes, File] | None,
    *,
    branch: str = "main",
    sha256: bool = False,
    bare: bool = False,
) -> None:
    """Make a repository with one commit of these files, or with none (None)."""
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    (git_dir / "config").write_text(
        f"[core]\n\trepositoryformatversion = 1\n\tbare = {str(bare).lower()}\n"
        "\tlogAllRefUpdates = true\n"
        + ("[extensions]\n\tobjectFormat = sha256\n" if sha256 else "")
    )
    if files is not None:
        add_commit(git_dir, files, branch=branch, message="Begin", whole=True)


def add_commit(
    git_dir: Path,
    files: Mapping[bytes, File | None],
    *,
    branch: str = "main",
    message: str = "Go on",
    whole: bool = False,
) -> str:
    """Put a commit on a branch with these files set, or removed where None; gives its id."""
    parts = [
        f"commit refs/heads/{branch}\ncommitter A <a@localhost> 1700000000 +0000\n".encode(),
        f"data {len(message)}\n{message}\n".encode(),
    ]
    if not whole:
        parts.append(f"from refs/heads/{branch}^0\n".encode())
    for path, file in files.items():
        name = _quoted(path)
        if file is None:
            parts.append(b"D " + name + b"\n")
        elif file.mode == "160000":
            parts.append(b"M 160000 " + file.content + b" " + name + b"\n")
        else:
            about = f"M {file.mode} inline ".encode() + name + b"\n"
            parts.append(about + b"data %d\n" % len(file.content) + file.content + b"\n")
    git(git_dir, "fast-import", "--quiet", "--force", stdin=b"".join(parts))
    return tip(git_dir, branch)


def _quoted(path: bytes) -> bytes:
    body = b"".join(
        b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes([byte]) for byte in path
    )
    return b'"' + body + b'"'


def check_out(git_dir: Path, worktree: Path) -> None:
    """Write index and files of what HEAD names."""
    worktree.mkdir(exist_ok=True)
    git(git_dir, "read-tree", "-m", "-u", "HEAD", GIT_WORK_TREE=str(worktree))


def tip(git_dir: Path, branch: str = "main") -> str:
    """The commit a branch is at, or the empty text."""
    listing = git(git_dir, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    return listing.decode().strip()


def tree(git_dir: Path, commit: str) -> dict[bytes, tuple[str, str]]:
    """Mode and id of all files of a commit."""
    found: dict[bytes, tuple[str, str]] = {}
    for line in git(git_dir, "ls-tree", "-r", "-z", commit).split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, name = about.decode().split(" ")
        found[path] = (mode, name)
    return found


def index(git_dir: Path) -> bytes:
    """What an index lists, flags included, without the look of the files."""
    return git(git_dir, "ls-files", "-s", "-v", "-z", GIT_WORK_TREE="/nonexistent")


def snapshot(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything below a folder; links are not followed.

    Args:
        folder: where.
        without: names right below it that are left out.
    """
    found: dict[str, tuple[int, bytes]] = {}
    queue = [str(folder)]
    while queue:
        place = queue.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                name = os.path.relpath(entry.path, folder)
                if name in without:
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    found[name] = (stat.S_IFLNK, os.fsencode(Path(entry.path).readlink()))
                elif stat.S_ISDIR(mode):
                    found[name] = (mode, b"")
                    queue.append(entry.path)
                else:
                    found[name] = (mode, Path(entry.path).read_bytes())
    return found


def furnish_with_traps(git_dir: Path, marker: Path) -> None:
    """Give a repository hooks and configuration that write `marker` when anything runs them."""
    trap = git_dir / "trap"
    trap.write_text(
        f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\n"
        'if [ "$1" = remote ]; then exit 1; fi\ncat\n'  # a remote that echoes is waited for
    )
    trap.chmod(0o755)
    hooks = git_dir / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        (hooks / name).symlink_to(trap)
    aliases = "".join(f"\t{name} = !{trap}\n" for name in _ALIASED)
    with (git_dir / "config").open("a") as config:
        config.write(_TRAPS.format(trap=trap, hooks=hooks, marker=marker, aliases=aliases))
        config.write("[extensions]\n\tpartialClone = origin\n")
    (git_dir / "more-traps").write_text(f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {hooks}\n")
