"""The file system of agents without an image: this machine's interpreter and what they import.

Under bubblewrap such an agent sees this machine's programs and libraries, mounted. An engine may
be elsewhere, so the same is brought to it, at the same places, but only what the agents that came
with Penstock need: the interpreter, the standard library, the libraries that the agents import,
and a few programs. An agent that needs more names an image.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
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
    "**/__pycache__", "ensurepip", "idlelib", "lib2to3/tests", "test", "tkinter", "turtledemo",
    "site-packages", "dist-packages", "config-*", "lib-dynload/_tkinter*",
)  # fmt: skip
_DISTRIBUTION, _EXTRA = "penstock", "agents"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(slots=True)
class Part:
    """A folder of this machine, shown at its own place.

    Attributes:
        include: patterns of what is taken; none for all of it.
        exclude: patterns of what is left out.
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
    parts[site] = Part(site, _imported(site), ("**/__pycache__",))
    for folder in readable:
        place = _settled(folder, links)
        parts[place] = Part(place, exclude=("**/__pycache__",))
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
