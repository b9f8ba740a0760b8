"""What of the host a sandbox can see, as arguments for bwrap.

Everything starts from an empty root. A path is shown at the place where the host has it, so that
virtual environments, whose scripts and links name absolute paths, work unchanged. Links on the
way are made again as links; only what they lead to is mounted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

LINK_BOUND = 64
"""Links followed on the way to one path."""

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_TOO_WIDE = ("/", "/home", "/root", "/etc", "/var", "/proc", "/sys", "/dev", "/run", "/tmp")


class ViewTooWide(ValueError):
    """A path that would show a sandbox far more than an agent needs."""


class View:
    """Collects read-only paths; `arguments` gives what bwrap needs for them."""

    def __init__(self) -> None:
        self._binds: dict[str, None] = {}
        self._links: dict[str, str] = {}

    def show(self, path: Path) -> None:
        """Show a path read-only, with the links that lead to it.

        Raises:
            ViewTooWide: It is a folder like / or /home, or holds the user's home.
            FileNotFoundError: It does not exist.
        """
        current = Path(os.path.abspath(path))
        for _ in range(LINK_BOUND):
            link = _first_link(current)
            if link is None:
                break
            target = os.readlink(link)
            if not self._covered(link):
                self._links[str(link)] = target
            rest = current.relative_to(link)
            current = Path(os.path.normpath(link.parent / target / rest))
        if not current.exists():
            raise FileNotFoundError(str(path))
        _refuse_wide(current)
        if not self._covered(current):
            self._binds[str(current)] = None

    def _covered(self, path: Path) -> bool:
        return any(path == Path(bind) or Path(bind) in path.parents for bind in self._binds)

    def arguments(self) -> list[str]:
        """Arguments that make the view, each bind at its own place."""
        arguments: list[str] = []
        for folder in _ancestors([*self._binds, *self._links]):
            if not self._covered(Path(folder)):
                arguments += ["--perms", "0755", "--dir", folder]
        for bind in self._binds:
            arguments += ["--ro-bind", bind, bind]
        for link, target in self._links.items():
            if not self._covered(Path(link).parent):
                arguments += ["--symlink", target, link]
        return arguments


def host_view(readable: Iterable[Path]) -> View:
    """The system's programs, this interpreter, its virtual environment, and `readable`."""
    view = View()
    view.show(Path("/usr"))
    for name in _SYSTEM:
        if os.path.lexists(name):
            view.show(Path(name))
    for path in (sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix):
        view.show(Path(path))
    view.show(Path(sys.executable))
    for path in readable:
        view.show(path)
    return view


def _first_link(path: Path) -> Path | None:
    for part in (*reversed(path.parents), path):
        if part.is_symlink():
            return part
    return None


def _ancestors(paths: Sequence[str]) -> list[str]:
    """Every folder above the paths, outermost first, without the root."""
    found = {str(parent) for path in paths for parent in Path(path).parents} - {"/"}
    return sorted(found, key=lambda folder: (folder.count("/"), folder))


def _refuse_wide(path: Path) -> None:
    home = Path(os.path.expanduser("~"))
    holds_home = str(path) != "/usr" and (path == home or path in home.parents)
    if str(path) in _TOO_WIDE or holds_home:
        raise ViewTooWide(f"{path} would show a sandbox more than an agent needs")
