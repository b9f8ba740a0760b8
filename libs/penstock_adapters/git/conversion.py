"""How a file's content stands in a worktree: as it is, or with other line ends.

Git's own rules for line ends are followed here (gitattributes(5), `text` and `eol`), because they
are harmless. Everything that is done by a program the repository names is refused instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from penstock_adapters.git.command import run
from penstock_adapters.git.target import Target, is_true
from penstock_runtime.ports.repositories import RepositoryRefused

_PROGRAMS = ("filter", "ident", "working-tree-encoding")
_LINE_ENDS = ("text", "crlf", "eol")
_NOT_SAID = ("unspecified", "unset")
_LONE_LF = re.compile(rb"(?<!\r)\n")
_ODD = bytes(range(8)) + b"\x0b" + bytes(range(14, 27)) + bytes(range(28, 32)) + b"\x7f"
_END_OF_FILE = b"\x1a"


class LineEnds(Enum):
    """What line ends a file has in the worktree."""

    KEPT = "kept"
    CRLF = "crlf"
    CRLF_IF_TEXT = "crlf_if_text"

    def outwards(self, content: bytes) -> bytes:
        """What git would write into the worktree."""
        if self is LineEnds.KEPT:
            return content
        if self is LineEnds.CRLF_IF_TEXT and (b"\r" in content or _is_binary(content)):
            return content
        return _LONE_LF.sub(b"\r\n", content)

    def inwards(self, content: bytes) -> bytes:
        """What git would store, for comparing."""
        return content if self is LineEnds.KEPT else content.replace(b"\r\n", b"\n")


def _is_binary(content: bytes) -> bool:
    """Git's guess (`convert_is_binary`)."""
    if b"\0" in content or re.search(rb"\r(?!\n)", content):
        return True
    odd = len(content) - len(content.translate(None, _ODD)) - content.endswith(_END_OF_FILE)
    return (len(content) - odd) >> 7 < odd


async def line_ends(
    target: Target, git_dir: Path, worktree: Path, paths: Sequence[str]
) -> dict[str, LineEnds]:
    """Find out how each path is checked out.

    Raises:
        RepositoryRefused: a program or an encoding takes part in it for one of them.
    """
    for path in paths:
        if path.rsplit("/", 1)[-1] == ".gitattributes":
            raise RepositoryRefused(
                f"{path} says how files are checked out, and its branch is checked out in "
                f"{worktree}: land it while another branch is"
            )
    asked = "".join(f"{path}\0" for path in paths).encode()
    command = target.command(
        "check-attr", "-z", "--stdin", *_PROGRAMS, *_LINE_ENDS, git_dir=git_dir, worktree=worktree
    )
    answer = await run(command, stdin=asked)
    parts = answer.out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    said: dict[str, dict[str, str]] = {}
    for path, name, value in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if name in _PROGRAMS and value not in _NOT_SAID:
            raise RepositoryRefused(
                f"{path} is checked out through the attribute {name}={value}, and no program of "
                f"a repository is run: land it while another branch is checked out in {worktree}"
            )
        said.setdefault(path, {})[name] = value
    return {path: _rule(values, target.config) for path, values in said.items()}


def _rule(values: Mapping[str, str], config: Mapping[str, str]) -> LineEnds:
    text, crlf, eol = values["text"], values["crlf"], values["eol"]
    if text == "unspecified":
        text = crlf
    if text == "unset":
        return LineEnds.KEPT
    if text == "input" or eol == "lf":
        return LineEnds.KEPT
    if eol == "crlf":
        return LineEnds.CRLF_IF_TEXT if text == "auto" else LineEnds.CRLF
    automatic = config.get("core.autocrlf", "false").strip().lower()
    everywhere = is_true(automatic)
    wanted = everywhere or (automatic != "input" and config.get("core.eol", "").lower() == "crlf")
    if text == "set":
        return LineEnds.CRLF if wanted else LineEnds.KEPT
    if text == "auto":
        return LineEnds.CRLF_IF_TEXT if wanted else LineEnds.KEPT
    return LineEnds.CRLF_IF_TEXT if everywhere else LineEnds.KEPT
