"""The interpreter brought along: what a container's first process is run by.

An image may have no Python, another libc or no libc at all. So this process' own interpreter, its
loader, its libraries and the dozen modules that are needed go into one small folder, which is
mounted into every container and started through its own loader.
"""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from penstock_adapters.dagger.libraries import CannotCollect, libraries, loader_of

INSIDE = "/penstock/.runtime"
"""Where containers have the folder."""

_NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_START = (f"{INSIDE}/loader", "--library-path", f"{INSIDE}/lib", f"{INSIDE}/bin/{_NAME}",
          "-I", "-S", "-B", "-c")  # fmt: skip
_PACKAGE = "penstock_inside"
_PROBE_WAIT_S = 30.0
_PROBE = """
import __future__, _ctypes, _signal, _socket, _thread
import array, binascii, marshal, os, resource, select, sys, time
print(os.path.dirname(os.__file__))
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


def gather(folder: Path) -> tuple[str, ...]:
    """Fill an empty folder with the interpreter; gives the command inside that runs a task.

    Raises:
        CannotCollect: This interpreter cannot be brought along.
    """
    program = Path(sys.executable).resolve()
    stdlib, modules = _needed(program)
    home = folder / "lib" / _NAME
    extensions = [path for path in modules if path.suffix == ".so"]
    found = libraries([program, *extensions])
    loader = loader_of(found)
    (folder / "bin").mkdir()
    shutil.copy(program, folder / "bin" / _NAME)
    shutil.copy(loader.resolve(), folder / "loader")
    for asked_for, path in found.items():
        if path != loader:
            _copy(path.resolve(), folder / "lib" / asked_for)
    for path in modules:
        _copy(path, home / path.relative_to(stdlib))
    (home / "lib-dynload").mkdir(exist_ok=True)  # by which it knows where it is installed
    _copy_package(home / _PACKAGE)
    _compile(home)
    _open_to_all(folder)
    run = f"from {_PACKAGE}.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    return (*_START, run)


def trial_command() -> tuple[str, ...]:
    """A command that does nothing, and works in every image."""
    return (*_START, "pass")


def _needed(program: Path) -> tuple[Path, list[Path]]:
    """The standard library's folder, and the files of it that are loaded."""
    try:
        said = subprocess.run(
            [str(program), "-I", "-S", "-B", "-c", _PROBE],
            capture_output=True,
            check=True,
            timeout=_PROBE_WAIT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotCollect(f"the interpreter does not start by itself: {error}") from error
    first, *others = os.fsdecode(said.stdout).splitlines()
    stdlib = Path(first)
    paths = {Path(path) for path in others if path} | {stdlib / "os.py"}
    # `encodings` finds its modules by name, at a moment that the probe does not have.
    paths |= set((stdlib / "encodings").glob("utf_8.py"))
    return stdlib, sorted(path for path in paths if path.is_relative_to(stdlib))


def _copy_package(target: Path) -> None:
    target.mkdir()
    for source in files("penstock_adapters.dagger.inside").iterdir():
        if source.name.endswith(".py"):
            (target / source.name).write_bytes(source.read_bytes())


def _compile(home: Path) -> None:
    """Compile ahead: nobody can write in the container, and times of files may get lost."""
    for source in home.rglob("*.py"):
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), doraise=True, invalidation_mode=mode)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _open_to_all(folder: Path) -> None:
    for path, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.chmod(os.path.join(path, name), 0o755)
    os.chmod(folder, 0o755)
