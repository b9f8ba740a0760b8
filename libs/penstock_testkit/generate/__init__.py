"""Files that are written by a program and checked in, so that a reader needs no program.

Each module of this package that defines `generate` is one generator; adding a generator is
adding a file here. `python -m penstock_testkit.generate` writes them all, `--check` compares
and fails when one is stale, missing, or left over.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Generate = Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Generator:
    """One generator module.

    Attributes:
        name: The module's last name, used in messages.
        generate: Maps the repository's root to `{path relative to the root: whole text}`.
        owns: Glob patterns of files that only this generator makes; one that matches but is
            not in its output is a leftover.
    """

    name: str
    generate: Generate
    owns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not what its generator would write."""

    path: str
    generator: str
    kind: str  # "missing", "stale" or "left over"


def discover() -> Sequence[Generator]:
    """Finds every generator module of this package, in name order.

    Returns:
        The generators. Modules without `generate` (such as `__main__`) are not generators.
    """
    found: list[Generator] = []
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        generate = getattr(module, "generate", None)
        if generate is not None:
            owns = tuple(getattr(module, "OWNS", ()))
            found.append(Generator(module_info.name, generate, owns))
    return found


def differences(root: Path, generators: Sequence[Generator]) -> list[Difference]:
    """Compares what is checked in with what the generators would write.

    Args:
        root: The repository's root.
        generators: Usually `discover()`.
    """
    found: list[Difference] = []
    for generator in generators:
        wanted = generator.generate(root)
        for path, text in sorted(wanted.items()):
            file = root / path
            if not file.exists():
                found.append(Difference(path, generator.name, "missing"))
            elif file.read_text(encoding="utf-8") != text:
                found.append(Difference(path, generator.name, "stale"))
        found += [
            Difference(path, generator.name, "left over")
            for path in _left_over(root, generator.owns, wanted)
        ]
    return found


def write(root: Path, generators: Sequence[Generator]) -> list[Difference]:
    """Makes every difference disappear.

    Returns:
        What had to be changed.
    """
    changed: list[Difference] = []
    for generator in generators:
        # One after the other: a later generator may read what an earlier one wrote.
        changed += differences(root, [generator])
        wanted = generator.generate(root)
        for path, text in wanted.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for path in _left_over(root, generator.owns, wanted):
            (root / path).unlink()
    return changed


def _left_over(root: Path, owns: tuple[str, ...], wanted: Mapping[str, str]) -> list[str]:
    present = {
        str(file.relative_to(root)) for glob in owns for file in root.glob(glob) if file.is_file()
    }
    return sorted(present - set(wanted))
