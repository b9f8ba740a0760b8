"""The file system of agents without an image: this machine's interpreter and what they import.

Under bubblewrap such an agent sees this machine's programs and libraries, mounted. An engine may
be elsewhere, so the same is brought to it, at the same places, but only what the agents that came
with Penstock need: the interpreter, the standard library, the libraries that the agents import,
and a few programs. An agent that needs more names an image.

It is brought as an image of one layer, in one file: an engine asks for folders file by file, and
every layer more costs each start of a container.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

from penstock_adapters.dagger.libraries import CannotCollect, libraries

PROGRAMS = (
    "sh", "bash", "env", "cat", "chmod", "cp", "cut", "date", "diff", "dirname", "false", "find",
    "git", "grep", "head", "id", "ls", "mkdir", "mv", "rm", "sed", "sleep", "sort", "tail", "tr",
    "true", "uname", "wc",
)  # fmt: skip
"""Programs that agents may call, where this machine has them."""

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links, in many systems
_LEFT_OUT = (
    "ensurepip", "idlelib", "lib2to3/tests", "test", "tkinter", "turtledemo", "site-packages",
    "dist-packages", "config-*", "lib-dynload/_tkinter*", "*.opt-?.pyc",
)  # fmt: skip
_DISTRIBUTION, _EXTRA = "penstock", "agents"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(slots=True)
class Part:
    """A folder of this machine, shown at its own place.

    Attributes:
        include: names at its top that are taken; none for all of them.
        exclude: patterns of what is left out, by their path below it.
    """

    folder: Path
    include: set[str] = field(default_factory=set[str])
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostRoot:
    """What to bring: folders, and symbolic links by the place where they stand."""

    parts: tuple[Part, ...]
    links: dict[str, str]


def plan_root(readable: Iterable[Path] = ()) -> HostRoot:
    """Find out what agents need of this machine.

    Args:
        readable: further folders they read: the SDK's, where it is installed in place.

    Raises:
        CannotCollect: `ldd` is missing here.
    """
    links = {place: os.readlink(place) for place in _SYSTEM if Path(place).is_symlink()}
    parts: dict[Path, Part] = {}
    stdlib = _settled(Path(sysconfig.get_path("stdlib")), links)
    parts[stdlib] = Part(stdlib, exclude=_LEFT_OUT)
    site = _settled(Path(sysconfig.get_path("purelib")), links)
    parts[site] = Part(site, _imported(site), ("*.opt-?.pyc",))
    for folder in readable:
        place = _settled(folder, links)
        parts[place] = Part(place)
    programs = [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    binaries = [Path(sys.executable).resolve(), *(path.resolve() for path in programs)]
    own = [path for path in stdlib.glob("lib-dynload/*.so") if not path.match("_tkinter*")]
    extensions = [*own, *_extensions(parts[site])]
    needed = libraries([*binaries, *extensions])
    files = [Path(sys.executable), *programs, *needed.values()]
    configuration = Path(sys.prefix) / "pyvenv.cfg"
    if configuration.is_file():
        files.append(configuration)
    singles: dict[Path, set[str]] = defaultdict(set)
    for file in files:
        place = _settled(file, links)
        singles[place.parent].add(place.name)
    for folder, names in singles.items():
        covered = any(folder.is_relative_to(known) for known in parts if not parts[known].include)
        if not covered:
            parts.setdefault(folder, Part(folder)).include |= names
    return HostRoot(tuple(parts.values()), links)


def listed(root: HostRoot) -> Iterator[tuple[str, Path]]:
    """Give every file, folder and link to bring, as its place without the first slash, in order.

    A link of the plan itself has no source of its own: its place stands for it.
    """
    for part in root.parts:
        top = str(part.folder).removeprefix("/")
        for name in sorted(part.include) or sorted(os.listdir(part.folder)):
            yield from _below(part, part.folder / name, f"{top}/{name}")


def _below(part: Part, source: Path, place: str) -> Iterator[tuple[str, Path]]:
    below = str(source.relative_to(part.folder))
    if any(fnmatchcase(below, pattern) for pattern in part.exclude) or not os.path.lexists(source):
        return
    yield place, source
    if source.is_dir() and not source.is_symlink():
        for name in sorted(os.listdir(source)):
            yield from _below(part, source / name, f"{place}/{name}")


def _settled(path: Path, links: dict[str, str]) -> Path:
    """Note every link on the way to a path; gives where it really is.

    Raises:
        CannotCollect: The links lead nowhere.
    """
    current = Path(os.path.abspath(path))
    for _ in range(64):
        link = next((p for p in (*reversed(current.parents), current) if p.is_symlink()), None)
        if link is None:
            return current
        target = os.readlink(link)
        links[str(link)] = target
        current = Path(os.path.normpath(link.parent / target / current.relative_to(link)))
    raise CannotCollect(f"{path} is behind too many links")


def _imported(site: Path) -> set[str]:
    """Top-level names, below the site folder, of all that the agents import."""
    names = {path.name for path in site.glob("*.pth")}
    waiting, seen = _asked_for(_DISTRIBUTION, _EXTRA), set[str]()
    waiting.append(_DISTRIBUTION)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system, or another extra
        tops = {file.parts[0] for file in found.files or ()}
        if name == _DISTRIBUTION:
            names |= {top for top in tops if top.startswith("penstock_agent")}
            continue
        names |= {top for top in tops if top not in ("..", "__pycache__")}
        waiting += _asked_for(name, None)
    return names


def _asked_for(name: str, extra: str | None) -> list[str]:
    try:
        asked_for = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found: list[str] = []
    for line in asked_for:
        named = _NAME.match(line)
        wanted = (
            f'extra == "{extra}"' in line.replace("'", '"') if extra else "extra ==" not in line
        )
        if named and wanted:
            found.append(named.group())
    return found


def _extensions(part: Part) -> list[Path]:
    found: list[Path] = []
    for name in part.include:
        place = part.folder / name
        found += place.rglob("*.so") if place.is_dir() else []
        found += [place] if name.endswith(".so") else []
    return found
