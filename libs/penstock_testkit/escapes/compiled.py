"""The hostile agent in C, built by the machine's own compiler where it has one."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("hostile.c")
BUILD_S = 60.0


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of building it.

    Attributes:
        program: None where it cannot be built.
        static: it needs no libc where it runs, so that any image will do.
        reason: why there is none.
    """

    program: Path | None
    static: bool = False
    reason: str = ""


def compiled_hostile(folder: Path, source: Path = SOURCE) -> Compiled:
    """Build a hostile agent into a folder, statically if the machine can."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return Compiled(None, reason="no C compiler here (cc, gcc or clang)")
    program = folder / source.stem
    said = ""
    for options in (("-static",), ()):
        command = [compiler, "-O1", *options, "-pthread", "-o", str(program), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode == 0:
            program.chmod(0o755)
            return Compiled(program, bool(options))
        said = done.stderr.strip().splitlines()[0] if done.stderr.strip() else "no message"
    return Compiled(None, reason=f"{compiler} cannot build it: {said}")


def names_in_c() -> tuple[str, ...]:
    """The ways that the agent in C knows, in its order."""
    return tuple(re.findall(r'\{"([a-z0-9-]+)", \w+\}', SOURCE.read_text(encoding="utf-8")))
