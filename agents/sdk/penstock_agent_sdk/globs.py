"""Path patterns: `*` and `?` within a folder, `**` across folders, `[abc]` as in a shell."""

import re
from collections.abc import Callable, Sequence
from functools import cache


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**/", at):
            out.append("(?:[^/]+/)*")
            at += 3
        elif pattern.startswith("**", at):
            out.append(".*")
            at += 2
        elif char == "*":
            out.append("[^/]*")
            at += 1
        elif char == "?":
            out.append("[^/]")
            at += 1
        elif char == "[" and (end := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : end]
            negated = inner[0] in "!^"
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            out.append(f"[{'^/' if negated else ''}{members}]")
            at = end + 1
        else:
            out.append(re.escape(char))
            at += 1
    return re.compile("".join(out), re.DOTALL)


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path is named by one of the patterns; a pattern with `/` at its end is a folder.

    A pattern without any `/` names files in every folder, as in `.gitignore`.

    Raises:
        re.error: A character set is malformed.
    """
    tests = [
        _compiled(
            (pattern if "/" in pattern.rstrip("/") else f"**/{pattern}")
            + ("**" if pattern.endswith("/") else "")
        )
        for pattern in (given.removeprefix("./") for given in patterns)
    ]
    return lambda path: any(test.fullmatch(path) for test in tests)
