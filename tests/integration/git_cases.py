"""Repositories and plans from a seed, with what is to become of them.

The expectation is worked out from how a case was made, without the code under test: a case with
no obstacle has to be applied exactly, one with an obstacle has to be refused with nothing changed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from penstock_testkit.builders.repositories import (
    File,
    add_commit,
    check_out,
    furnish_with_traps,
    git,
    make_repository,
    object_id,
)

BRANCH = "main"
GITLINK = "160000"
LINK = "120000"
EXECUTABLE = "100755"
SUBMODULE = b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"

FOUND: dict[bytes, File] = {
    b"README.md": File(b"# Title\n\nSome words.\n"),
    b"readme.md": File(b"the other one\n"),
    b"src/main.py": File(b"def main():\n    return 1\n"),
    b"src/Main.py": File(b"X = 1\n"),
    b"crlf.txt": File(b"one\r\ntwo\r\nthree\r\n"),
    b"mixed.txt": File(b"one\r\ntwo\nthree\rfour"),
    b"run.sh": File(b"#!/bin/sh\nexit 0\n", EXECUTABLE),
    b"bin.dat": File(bytes(range(256)) * 4),
    b"latin1.txt": File("Grüße aus Zürich\n".encode("latin-1")),
    "café/naïve.txt".encode(): File("ünïcödé\n".encode()),
    b"bad-\xff\xfe.bin": File(b"its name is no UTF-8\n"),
    b"link": File(b"src/main.py", LINK),
    b"dangling": File(b"../../../etc/passwd", LINK),
    b"dirlink": File(b"src", LINK),
    b"sub": File(SUBMODULE, GITLINK),
    b".gitmodules": File(b'[submodule "sub"]\n\tpath = sub\n\turl = ext::false\n'),
    b'with space/and "quote".txt': File(b"quoted\n"),
    b"new\nline.txt": File(b"a line in its name\n"),
    b"tab\there.txt": File(b"tab\n"),
    b"-dash": File(b"dash\n"),
    b"[glob]*?.txt": File(b"glob\n"),
    b"back\\slash.txt": File(b"back\n"),
    b"empty": File(b""),
    b"no newline": File(b"no end"),
    b"deep/a/b/c/d.txt": File(b"deep\n"),
    b"deep/a/only.txt": File(b"only\n"),
    b"start.bat": File(b"echo one\necho two\n"),
    b"large.trap": File(b"filtered\n"),
    b"doc.tid": File(b"$Id$\n"),
    b"wide.u16": File(b"wide\n"),
    b".gitattributes": File(
        b"*.trap filter=trap diff=trap merge=trap\n*.bat text eol=crlf\n*.tid ident\n"
        b"*.u16 working-tree-encoding=UTF-16\n*.py diff=trap merge=trap\n"
    ),
}
PROGRAMMED = {b"large.trap", b"doc.tid", b"wide.u16", b".gitattributes"}
"""Files that are refused in a worktree: a program or an encoding stands between, or decides."""

ADDED = (
    "new.txt",
    "src/neu/tief/x.py",
    "Readme.MD",
    "ümläut.txt",
    "a b/c d.txt",
    "src/MAIN.py",
    'q"uote.txt',
    "line\nbreak",
)
IMPOSSIBLE = (
    ".git/config",
    "src/.GIT/hooks/pre-commit",
    "../outside",
    "/etc/passwd",
    "src//x",
    "src/../x",
    "git~1/config",
    ".g\u200cit/config",
    "",
    "bad-\udcff",
    "sub",
    "sub/inside.txt",
    "link/inside.txt",
    "README.md/below",
    "src",
    "nul\0byte",
)


@dataclass
class Case:
    """One repository, one plan, and what happens between.

    Attributes:
        path: what the executor is given.
        git_dir: the shared folder of the repository.
        checked_out: worktree that has the branch, with the folder of its index.
        wanted: what the plan proposes; None: deletion.
        obstacles: why it has to be refused; none: it has to be applied.
        meanwhile: done between plan and check.
    """

    seed: int
    marker: Path
    random: random.Random
    path: Path = Path()
    git_dir: Path = Path()
    sha256: bool = False
    layout: str = ""
    checked_out: tuple[Path, Path] | None = None
    other: tuple[Path, Path] | None = None
    ref: str | None = None
    files: dict[bytes, File] = field(default_factory=dict[bytes, File])
    wanted: dict[str, File | None] = field(default_factory=dict[str, File | None])
    missing_blob: bool = False
    lying_blob: bool = False
    obstacles: list[str] = field(default_factory=list[str])
    meanwhile: Callable[[], None] | None = None

    @property
    def touched(self) -> list[bytes]:
        """Files of the repository that the plan changes."""
        return [name for path in self.wanted if (name := raw(path)) in self.files]


def raw(path: str) -> bytes:
    """A path as the repository has it."""
    return path.encode("utf-8", "surrogateescape")


def make_case(folder: Path, seed: int, *, sha256: bool) -> Case:
    """Make everything that a seed stands for, below an empty folder."""
    chance = random.Random(seed)  # noqa: S311 - the same case every time
    case = Case(seed, folder / "MARKER", chance)
    case.sha256 = sha256 and chance.random() < 0.15
    names = chance.sample(sorted(FOUND), chance.randint(6, len(FOUND)))
    names += [name for name in (b".gitattributes", b"README.md") if name not in names]
    case.files = {name: FOUND[name] for name in sorted(names)}
    if case.sha256 and b"sub" in case.files:
        case.files[b"sub"] = File(SUBMODULE + b"0" * 24, GITLINK)
    lay_out(case, folder)
    propose(case)
    disturb(case)
    if chance.random() < 0.3:
        git(case.git_dir, "pack-refs", "--all")
    furnish_with_traps(case.git_dir, case.marker)
    return case


def lay_out(case: Case, folder: Path) -> None:
    """Choose what kind of repository it is, and what is checked out where."""
    chance = case.random
    kinds = ["plain"] * 6 + ["bare"] * 3 + ["other", "linked", "linked_main", "detached"]
    kinds += ["nameless", "bare_linked", "unborn"] if chance.random() < 0.3 else []
    case.layout = chance.choice(kinds)
    bare = case.layout in ("bare", "bare_linked")
    case.path = folder / "repository"
    case.git_dir = case.path if bare else case.path / ".git"
    files = None if case.layout == "unborn" else case.files
    make_repository(case.git_dir, files, sha256=case.sha256, bare=bare)
    if files is None:
        case.obstacles.append("no commit")
        return
    for number in range(chance.randint(0, 2)):
        more: dict[bytes, File | None] = {b"history.txt": File(b"%d\n" % number)}
        case.files[b"history.txt"] = File(b"%d\n" % number)
        add_commit(case.git_dir, more)
    main = (case.path, case.git_dir)
    match case.layout:
        case "plain":
            case.checked_out = main
            check_out(case.git_dir, case.path)
        case "other" | "linked" | "detached" | "nameless":
            git(case.git_dir, "branch", "side", BRANCH)
            detached = case.layout in ("detached", "nameless")
            head = git(case.git_dir, "rev-parse", BRANCH).decode()
            (case.git_dir / "HEAD").write_text(head if detached else "ref: refs/heads/side\n")
            check_out(case.git_dir, case.path)
            case.other = main
            case.ref = None if case.layout == "nameless" else BRANCH
        case "linked_main":
            (case.git_dir / "HEAD").write_text("ref: refs/heads/side\n")
            git(case.git_dir, "branch", "side", BRANCH)
            check_out(case.git_dir, case.path)
            case.other = main
            case.ref = f"refs/heads/{BRANCH}"
        case _:
            pass
    if case.layout in ("linked", "linked_main", "bare_linked"):
        if case.layout == "bare_linked":
            git(case.git_dir, "branch", "side", BRANCH)
            (case.git_dir / "HEAD").write_text("ref: refs/heads/side\n")
            case.ref = BRANCH
        worktree = folder / "linked tree"
        git(case.git_dir, "worktree", "add", "-q", str(worktree), BRANCH)
        case.checked_out = (worktree, next((case.git_dir / "worktrees").iterdir()))
        case.path = worktree if case.layout == "linked" else case.path
        case.ref = None if case.layout == "linked" else case.ref
    if case.layout == "nameless":
        case.obstacles.append("detached HEAD and no branch named")
    if case.checked_out is not None and chance.random() < 0.3:
        how = chance.choice([("--index-version", "4"), ("--split-index",), ("--untracked-cache",)])
        worktree, git_dir = case.checked_out
        git(git_dir, "update-index", *how, GIT_WORK_TREE=str(worktree))


def propose(case: Case) -> None:
    """Choose what the plan changes, and now and then something that no plan may."""
    chance = case.random
    names = [name for name in case.files if name not in (b"sub", b"bad-\xff\xfe.bin")]
    if chance.random() < 0.7:  # else programs of the repository would stand in every second way
        names = [name for name in names if name not in PROGRAMMED]
    for name in chance.sample(names, min(len(names), chance.randint(1, 5))):
        change(case, name.decode(), case.files[name])
    for path in chance.sample(ADDED, chance.choice([0, 0, 1, 2])):
        if not any(name.startswith(raw(path) + b"/") for name in case.files):
            case.wanted[path] = some_file(chance)
    if chance.random() < 0.12:
        propose_impossible(case, chance.choice(IMPOSSIBLE))
    elif chance.random() < 0.05 and any(case.wanted.values()):
        case.missing_blob = chance.random() < 0.5
        case.lying_blob = not case.missing_blob
        case.obstacles.append("a blob that is not what it says")
    if case.checked_out is not None:
        for name in case.touched:
            if name in PROGRAMMED:
                case.obstacles.append(f"program for {name!r}")


def propose_impossible(case: Case, path: str) -> None:
    """Have the plan write where none may, unless here it happens to be possible."""
    case.wanted[path] = File(b"impossible\n")
    others = [raw(other) for other in case.wanted if other != path]
    stands = [
        name
        for name in [*case.files, *others]
        if case.wanted.get(name.decode("utf-8", "replace"), 0) is not None
    ]
    top, inside = raw(path.split("/", maxsplit=1)[0]), "/" in path
    makes_room = top in (b"link", b"README.md") and case.wanted.get(top.decode(), 0) is None
    if path not in ("sub", "src", "sub/inside.txt", "link/inside.txt", "README.md/below"):
        case.obstacles.append(f"impossible path {path!a}")
    elif inside and top in stands:
        case.obstacles.append(f"a folder {path} and a file")
    elif inside and makes_room and top in case.files and case.checked_out is not None:
        case.obstacles.append("a folder where a file is checked out")
    elif not inside and any(
        name == top or name.startswith(top + b"/") for name in [*case.files, *others]
    ):
        case.obstacles.append(f"a file {path} and a folder")


def change(case: Case, path: str, old: File) -> None:
    """Modify, delete, move, or change the mode of one file."""
    chance = case.random
    match chance.choice(["modify"] * 4 + ["delete", "rename", "mode"]):
        case "delete":
            case.wanted[path] = None
        case "rename":
            case.wanted[path] = None
            case.wanted[f"moved/{object_id(raw(path))[:8]}"] = old
        case "mode" if old.mode != LINK:
            flipped = "100644" if old.mode == EXECUTABLE else EXECUTABLE
            case.wanted[path] = File(old.content, flipped)
        case _ if old.mode == LINK:
            case.wanted[path] = File(old.content + b".other", LINK)
        case _:
            case.wanted[path] = File(edited(chance, old.content), old.mode)


def edited(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(chance.randint(0, len(lines)), b"edited %d\n" % chance.randint(0, 99))
    return b"".join(lines)


def some_file(chance: random.Random) -> File:
    return chance.choice(
        [
            File(b"brand new\n"),
            File(b"#!/bin/sh\necho new\n", EXECUTABLE),
            File(b"nowhere/at/all", LINK),
            File(chance.randbytes(300)),
            File(b"with\r\ncarriage\r\nreturns\r\n"),
            File(b""),
        ]
    )


def disturb(case: Case) -> None:
    """Leave traces of people at work: before the plan, or between plan and landing."""
    chance = case.random
    if case.layout in ("unborn", "nameless"):
        return
    if case.checked_out is not None:
        _disturb_worktree(case, *case.checked_out)
    match chance.choice(["nothing"] * 6 + ["other", "touched", "deleted", "nothing"]):
        case "other":
            case.meanwhile = lambda: _advance(case, b"untouched.txt", File(b"by others\n"))
        case "touched" if case.touched:
            name = chance.choice(case.touched)
            case.meanwhile = lambda: _advance(case, name, File(b"by others\n"))
            case.obstacles.append(f"{name!r} changed meanwhile")
        case "deleted":
            case.meanwhile = lambda: _delete(case)
            case.obstacles.append("the branch was deleted meanwhile")
        case _:
            pass


def _advance(case: Case, name: bytes, file: File) -> None:
    add_commit(case.git_dir, {name: file})
    case.files[name] = file
    if case.checked_out is not None and not (case.checked_out[1] / "index.lock").exists():
        worktree, git_dir = case.checked_out
        place = worktree / name.decode()
        place.unlink(missing_ok=True)
        place.write_bytes(file.content)
        order = f"100644 {object_id(file.content, sha256=case.sha256)} 0\t".encode() + name
        git(git_dir, "update-index", "-z", "--index-info", stdin=order + b"\0")


def _delete(case: Case) -> None:
    git(case.git_dir, "update-ref", "-d", f"refs/heads/{BRANCH}")


def _disturb_worktree(case: Case, worktree: Path, git_dir: Path) -> None:
    chance = case.random
    touched = [name for name in case.touched if name not in PROGRAMMED]
    kind = chance.choice(
        ["clean"] * 9
        + ["dirty_other", "dirty_other", "untracked", "dirty", "staged", "assumed", "skipped"]
        + ["in_the_way", "merging", "rebasing", "locked", "parent_link"]
    )
    name = chance.choice(touched) if touched else b""
    place = worktree / name.decode()
    env = {"GIT_WORK_TREE": str(worktree)}
    match kind:
        case "dirty_other":
            free = [other for other in case.files if other not in case.touched]
            free = [other for other in free if case.files[other].mode in ("100644", EXECUTABLE)]
            for other in free[:2]:
                Path(str(worktree), other.decode("utf-8", "surrogateescape")).write_bytes(b"dirty")
        case "untracked":
            (worktree / "left over.txt").write_text("untracked\n")
        case "dirty" if name:
            place.unlink()
            place.write_bytes(b"somebody is working here\n")
            case.obstacles.append(f"dirty {name!r}")
        case "staged" if name:
            blob = git(git_dir, "hash-object", "-w", "--stdin", stdin=b"staged\n").decode().strip()
            order = f"100644 {blob} 0\t".encode() + name + b"\0"
            git(git_dir, "update-index", "-z", "--index-info", stdin=order)
            case.obstacles.append(f"staged {name!r}")
        case "assumed" | "skipped" if name:
            flag = "--assume-unchanged" if kind == "assumed" else "--skip-worktree"
            git(git_dir, "update-index", flag, "-z", "--stdin", stdin=name + b"\0", **env)
            case.obstacles.append(f"{kind} {name!r}")
        case "in_the_way":
            new = [path for path in case.wanted if raw(path) not in case.files]
            new = [path for path in new if path in ADDED]
            if new:
                (worktree / new[0]).parent.mkdir(parents=True, exist_ok=True)
                (worktree / new[0]).write_text("not for git\n")
                case.obstacles.append(f"{new[0]!r} is in the way")
        case "merging":
            (git_dir / "MERGE_HEAD").write_bytes(git(case.git_dir, "rev-parse", BRANCH))
            case.obstacles.append("a merge is under way")
        case "rebasing":
            (git_dir / "rebase-merge").mkdir()
            (git_dir / "rebase-merge" / "head-name").write_text(f"refs/heads/{BRANCH}\n")
            case.obstacles.append("a rebase is under way")
        case "locked":
            (git_dir / "index.lock").write_bytes(b"")
            case.obstacles.append("the index is locked")
        case "parent_link":
            new = [path for path in case.wanted if path.startswith("moved/")]
            if new and not (worktree / "moved").exists():
                (worktree / "moved").symlink_to(worktree.parent)
                case.obstacles.append("a folder is a link")
        case _:
            pass
