"""Where git works without looking at anybody's repository.

A desk is a bare repository of the executor's own, in its scratch folder and never shown to an
agent. Objects come to it by pack, which git verifies as it reads, or one by one, verified here.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.git.command import Answer, Command, pipe, run
from penstock_adapters.git.entries import Change, Entry, index_info, read_changes, read_tree
from penstock_adapters.git.environment import environment
from penstock_adapters.git.target import Target
from penstock_runtime.ports.repositories import RepositoryRefused

PACK_BYTES_MAX = 2 * 1024 * 1024 * 1024
"""Largest commit, packed, that is worked on."""

_NAME = "desk.git"
_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = true
\tfilemode = true
\tcommitGraph = false
\tmultiPackIndex = false
\tlogAllRefUpdates = false
\tfsync = none
"""
_SHA256 = "[extensions]\n\tobjectFormat = sha256\n"


def make_bare(folder: Path, *, sha256: bool, ref: str | None = None, commit: str = "") -> None:
    """Make a bare repository without running git; its branch has no history."""
    for name in ("objects/info", "objects/pack", "refs/heads", "info"):
        (folder / name).mkdir(parents=True)
    config = _CONFIG.format(version=1 if sha256 else 0) + (_SHA256 if sha256 else "")
    (folder / "config").write_text(config)
    (folder / "HEAD").write_text(f"ref: {ref or 'refs/heads/none'}\n")
    if ref is not None:
        (folder / "packed-refs").write_text(
            f"# pack-refs with: peeled fully-peeled sorted \n{commit} {ref}\n"
        )
        (folder / "shallow").write_text(f"{commit}\n")


@dataclass(frozen=True, slots=True)
class Desk:
    """The executor's own repository for one task."""

    folder: Path
    sha256: bool

    @classmethod
    def make(cls, scratch: Path, *, sha256: bool) -> Desk:
        """Set one up in an existing folder."""
        folder = scratch / _NAME
        make_bare(folder, sha256=sha256)
        return cls(folder, sha256)

    @classmethod
    def beside(cls, clone: Path, *, sha256: bool) -> Desk:
        """Find the one that was set up with a clone.

        Raises:
            RepositoryRefused: it is gone.
        """
        folder = clone.parent / _NAME
        if not (folder / "HEAD").is_file():
            raise RepositoryRefused("the clone was not opened here")
        return cls(folder, sha256)

    @property
    def objects(self) -> Path:
        """Its object folder."""
        return self.folder / "objects"

    async def call(
        self,
        *args: str,
        stdin: bytes = b"",
        index: Path | None = None,
        borrowed: Path | None = None,
        more: Mapping[str, str] | None = None,
        limit: int = 64 * 1024 * 1024,
    ) -> Answer:
        """Run a command here."""
        env = environment(self.folder, index=index, borrowed=borrowed)
        return await run(Command(args, {**env, **(more or {})}), stdin=stdin, limit=limit)

    def id_of(self, kind: str, content: bytes) -> str:
        """The id an object has by its content."""
        return self._digest(b"%s %d\0" % (kind.encode(), len(content)) + content)

    def _digest(self, content: bytes) -> str:
        if self.sha256:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    def put_blob(self, content: bytes) -> str:
        """Store a content and give its id."""
        whole = b"blob %d\0" % len(content) + content
        name = self._digest(whole)
        folder = self.objects / name[:2]
        folder.mkdir(exist_ok=True)
        file = folder / name[2:]
        if not file.exists():
            file.write_bytes(zlib.compress(whole, 1))
        return name

    async def fetch(self, target: Target, commit: str, known: Sequence[str] = ()) -> None:
        """Bring one commit and its files here, without its history and without what is known."""
        with (self.folder / "shallow").open("a") as shallow:
            shallow.write(f"{commit}\n")
        orders = [f"--shallow {each}" for each in (commit, *known)]
        orders += [commit, *(f"^{each}" for each in known)]
        pack = target.command(
            "pack-objects", "--revs", "--stdout", "-q", "--window=0", "--delta-base-offset"
        )
        sink = Command(
            ("index-pack", "--stdin", f"--max-input-size={PACK_BYTES_MAX}"),
            environment(self.folder),
        )
        await pipe(pack, sink, stdin="".join(f"{line}\n" for line in orders).encode())

    async def send(self, target: Target, commit: str, known: str) -> None:
        """Take what a commit adds to another over to the repository; every object is verified."""
        pack = Command(
            ("pack-objects", "--revs", "--stdout", "-q", "--window=0"), environment(self.folder)
        )
        sink = target.command("unpack-objects", "-q")
        await pipe(pack, sink, stdin=f"{commit}\n^{known}\n".encode())

    async def tree_with(self, commit: str, changes: Iterable[Entry]) -> str:
        """The tree of a commit with some files replaced; gives its id."""
        index = self.folder / "tree.index"
        index.unlink(missing_ok=True)
        await self.call("read-tree", commit, index=index)
        orders = b"".join(index_info(entry, sha256=self.sha256) for entry in changes)
        await self.call("update-index", "-z", "--index-info", stdin=orders, index=index)
        answer = await self.call("write-tree", index=index)
        return answer.out.decode("ascii").strip()

    async def entries(self, commit: str, paths: Sequence[str]) -> dict[str, Entry]:
        """What a commit has at some paths; a folder is an entry as well."""
        answer = await self.call("ls-tree", "-z", "--full-tree", commit, "--", *paths)
        return read_tree(answer.out)

    async def changes(self, commit: str, tree: str) -> list[Change]:
        """All files in which a tree differs from a commit's."""
        answer = await self.call("diff-tree", "-r", "-z", "--raw", "--no-renames", commit, tree)
        return read_changes(answer.out)

    async def commit(self, tree: str, parent: str, message: str, at_s: int) -> str:
        """Make a commit and give its id."""
        when = {"GIT_AUTHOR_DATE": f"@{at_s} +0000", "GIT_COMMITTER_DATE": f"@{at_s} +0000"}
        answer = await self.call(
            "commit-tree", tree, "-p", parent, stdin=message.encode(), more=when
        )
        return answer.out.decode("ascii").strip()

    def copy_packs(self, folder: Path) -> None:
        """Copy all packs into another object folder; a link would let its owner write into ours."""
        for file in sorted((self.objects / "pack").iterdir()):
            copy = folder / "pack" / file.name
            with file.open("rb") as source, copy.open("wb") as sink:
                while os.sendfile(sink.fileno(), source.fileno(), None, 1 << 30):
                    pass
