"""Files in trees: what git says about them, read and written."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_runtime.ports.repositories import RepositoryRefused

FILE_MODES = ("100644", "100755", "120000")
LINK_MODE = "120000"
_NO_MODE = "000000"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is at a path: nothing if `mode` and `blob` are None."""

    path: str
    mode: str | None
    blob: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after; None where it is not there."""

    path: str
    old_mode: str | None
    old: str | None
    mode: str | None
    new: str | None

    @property
    def before(self) -> Entry:
        """What was there."""
        return Entry(self.path, self.old_mode, self.old)

    @property
    def after(self) -> Entry:
        """What will be there."""
        return Entry(self.path, self.mode, self.new)


def path_text(raw: bytes) -> str:
    """A path as text; bytes that are no UTF-8 stay recognizable and fit no plan."""
    return raw.decode("utf-8", "surrogateescape")


def read_tree(listing: bytes) -> dict[str, Entry]:
    """Read `ls-tree -z`."""
    found: dict[str, Entry] = {}
    for line in listing.split(b"\0")[:-1]:
        about, _, raw = line.partition(b"\t")
        mode, _, blob = about.decode("ascii").split(" ")
        path = path_text(raw)
        found[path] = Entry(path, mode, blob)
    return found


def read_changes(listing: bytes) -> list[Change]:
    """Read `diff-tree -r -z --raw --no-renames`."""
    parts = listing.split(b"\0")[:-1]
    if parts and not parts[0].startswith(b":"):
        parts = parts[1:]  # the commit's own id comes first
    if len(parts) % 2:
        raise RepositoryRefused("git diff-tree: an answer that makes no sense")
    changes: list[Change] = []
    for about, raw in zip(parts[::2], parts[1::2], strict=True):
        old_mode, mode, old, new, _ = about.decode("ascii")[1:].split(" ")
        changes.append(
            Change(
                path_text(raw),
                None if old_mode == _NO_MODE else old_mode,
                None if old_mode == _NO_MODE else old,
                None if mode == _NO_MODE else mode,
                None if mode == _NO_MODE else new,
            )
        )
    return changes


def index_info(entry: Entry, *, sha256: bool) -> bytes:
    """One order for `update-index -z --index-info`."""
    blob = entry.blob or "0" * (64 if sha256 else 40)
    about = f"{entry.mode or '0'} {blob} 0\t"
    return about.encode("ascii") + entry.path.encode("utf-8") + b"\0"
