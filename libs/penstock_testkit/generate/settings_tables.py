"""Settings tables, in docs/reference and in each service's README, from the settings models.

A service's model is the one class of `<package>.settings` that derives from `Settings` and is
defined there. A README gets the table between the two marks below, or at its end at first.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from penstock_runtime.settings import Settings, settings_table

PAGE = "docs/reference/settings.md"
OWNS = (PAGE,)
BEGIN = "<!-- settings: written by `make generate` -->"
END = "<!-- end of settings -->"

_HEAD = """\
# Settings

<!-- Written by `make generate` from the services' settings models. Do not edit. -->

Read from the environment once, at the start. All faults are reported together. A secret has no
default. Each variable may be given as a file instead: `<VARIABLE>_FILE` names it.
"""


def model_of(module: ModuleType) -> type[Settings]:
    """The settings model a module defines.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LookupError(f"{module.__name__} defines {len(found)} settings models, not one")
    return found[0]


def with_table(readme: str, table: str) -> str:
    """Puts a table between the marks of a README, adding them if there are none."""
    block = f"{BEGIN}\n{table}{END}"
    if BEGIN in readme:
        pattern = re.escape(BEGIN) + r".*?" + re.escape(END)
        return re.sub(pattern, lambda _: block, readme, count=1, flags=re.DOTALL)
    return f"{readme.rstrip()}\n\n## Settings\n\n{block}\n"


def generate(root: Path) -> Mapping[str, str]:
    """Writes the page of all settings and the table of each service's README."""
    files: dict[str, str] = {}
    parts = [_HEAD]
    for file in sorted(root.glob("services/*/penstock_*/settings.py")):
        package = file.parent.name
        service = file.parents[1]
        table = settings_table(model_of(importlib.import_module(f"{package}.settings")))
        parts.append(f"## {service.name}\n\n{table}")
        readme = service / "README.md"
        if readme.is_file():
            path = str(readme.relative_to(root))
            files[path] = with_table(readme.read_text(encoding="utf-8"), table)
    files[PAGE] = "\n".join(parts)
    return files
