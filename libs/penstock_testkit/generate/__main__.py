"""Writes every generated file, or with `--check` says which are stale."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock_testkit.generate import Difference, differences, discover, write


def repository_root() -> Path:
    """The folder that holds pyproject.toml, looked for upwards from the working directory.

    Raises:
        SystemExit: there is none; generated files belong to a checkout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "contracts").is_dir():
            return folder
    raise SystemExit("run this inside a checkout of Penstock")


def main() -> int:
    """Returns 0 when everything is fresh or was written, 1 when `--check` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m penstock_testkit.generate")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if stale")
    options = parser.parse_args()
    root = repository_root()
    generators = discover()
    if options.check:
        found = differences(root, generators)
        _report(found)
        if found:
            print("run `make generate` and commit the result")
        return 1 if found else 0
    _report(write(root, generators))
    return 0


def _report(found: list[Difference]) -> None:
    for difference in found:
        print(f"{difference.kind}: {difference.path} (generator {difference.generator})")


if __name__ == "__main__":
    raise SystemExit(main())
