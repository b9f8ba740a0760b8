"""The end of a commit message: who allowed it, and which landing made it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from penstock_adapters.git.command import run
from penstock_adapters.git.refs import Tip
from penstock_adapters.git.target import Target
from penstock_runtime.ports.repositories import RepositoryRefused

KEY = "Penstock-Key"
"""Trailer that names the landing; by it a repetition is recognized."""

SEARCHED_MAX = 10_000
"""Most commits since the backup among which an earlier landing is looked for."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_VALUE_CHARS_MAX = 1024

Trailers = Mapping[str, str] | Sequence[tuple[str, str]]


def check_key(key: str) -> None:
    """See that a key may be part of the name of a ref.

    Raises:
        RepositoryRefused: it may not.
    """
    if _KEY.fullmatch(key) is None:
        raise RepositoryRefused("a landing's key is of letters, digits and hyphens")


def with_trailers(message: str, trailers: Trailers, key: str) -> str:
    """Put the trailers below a message.

    Raises:
        RepositoryRefused: one has more than a line.
    """
    pairs = list(trailers.items() if isinstance(trailers, Mapping) else trailers)
    lines: list[str] = []
    for name, value in [*pairs, (KEY, key)]:
        if _NAME.fullmatch(name) is None or not value.isprintable():
            raise RepositoryRefused(f"trailer {name!r} is not one line of text")
        lines.append(f"{name}: {value[:_VALUE_CHARS_MAX]}\n")
    return message.rstrip("\n") + "\n\n" + "".join(lines)


async def landed_since(target: Target, previous: str, tip: Tip, key: str) -> str | None:
    """Find the commit of an earlier landing with this key; `previous` is the tip it kept.

    A backup without such a commit is one of a landing that died before it moved the branch, or
    that was taken back.
    """
    command = target.command(
        "rev-list",
        f"--max-count={SEARCHED_MAX}",
        "--format=%x00%(trailers:key=" + KEY + ",valueonly,separator=%x2c)",
        tip.commit,
        f"^{previous}",
    )
    answer = await run(command)
    found: str | None = None
    commit = ""
    for line in answer.out.decode("utf-8", "replace").splitlines():
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        elif key in line.lstrip("\0").split(","):
            found = commit
    return found
