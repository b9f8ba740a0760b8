"""A name for a finding that stays when lines move."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule found something.

    Attributes:
        rule: Name of the rule; stable between releases.
        file: Relative to the repository, with slashes.
        line: From 1; 0 for the file as a whole.
        detail: What tells findings of one rule on one line apart and is no part of the line,
            such as an advisory's number. Never a secret, never a line number.
    """

    rule: str
    file: str
    line: int
    detail: str = ""


def fingerprints(places: Sequence[Place], lines_of: Callable[[str], Sequence[str]]) -> list[str]:
    """Name each place by rule, file and what the line says, blanks apart.

    A finding keeps its name when lines are added, removed or indented around it; a renamed file
    or an edited line makes a new finding. Equal lines are told apart by their order from the
    top, so the first of two equal findings keeps its name when the second goes.

    Args:
        places: In any order.
        lines_of: The text of a file by lines; empty where there is none to read.

    Returns:
        For each place 32 hexadecimal digits, in the order of `places`.
    """
    texts: dict[str, Sequence[str]] = {}
    seen: Counter[tuple[str, str, str, str]] = Counter()
    names = [""] * len(places)
    for index in sorted(range(len(places)), key=lambda at: (places[at].file, places[at].line, at)):
        place = places[index]
        if place.file not in texts:
            texts[place.file] = lines_of(place.file)
        said = _line(texts[place.file], place.line)
        key = (place.rule, place.file, place.detail, said)
        names[index] = _digest(*key, str(seen[key]))
        seen[key] += 1
    return names


def _line(lines: Sequence[str], number: int) -> str:
    return "".join(lines[number - 1].split()) if 0 < number <= len(lines) else ""


def _digest(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    for part in parts:
        data = part.encode("utf-8", errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
