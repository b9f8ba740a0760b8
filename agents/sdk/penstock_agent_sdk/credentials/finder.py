"""All ways of finding a credential, put together."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from penstock_agent_sdk.credentials.file_kinds import is_prose, is_sample, is_translation
from penstock_agent_sdk.credentials.forms import Forms
from penstock_agent_sdk.credentials.places import OPTION, Kept, Place, kept_in
from penstock_agent_sdk.credentials.values import Grade, grade
from penstock_agent_sdk.credentials.whole_files import credentials_of_file

How = Literal["form", "address", "name", "file"]
MAX_PER_FILE = 200

_TEST = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|testdata|fixtures|mocks?|cassettes|testing)/|(?:^|/)(?:test_|conftest)"
    r"|[._-](?:test|spec)\.[a-z]+$|_test\.go$|Tests?\.(?:java|kt|cs)$"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a credential is and of what kind; never what it is.

    Attributes:
        kind: What it is called, for a person.
        line: From 1.
        grade: `sure`, or `weak`: easily guessed, or perhaps only a word.
        how: By what it was found.
        place: Of one found by its name.
        name: Under which it stands; empty for the others.
        in_test: The file is a test or belongs to one.
    """

    kind: str
    line: int
    grade: Grade
    how: How
    place: Place | None = None
    name: str = ""
    in_test: bool = False


class CredentialFinder:
    """Holds what is compiled once; one instance reads any number of files."""

    def __init__(self) -> None:
        self._forms = Forms()

    def find(self, name: str, lines: Sequence[str]) -> list[Credential]:
        """Give the credentials of a file, the best known one of each line.

        Args:
            name: Relative to the repository; decides how the file is read.
            lines: The whole file.

        Returns:
            At most `MAX_PER_FILE`, by line.
        """
        best: dict[int, Credential] = {}
        for found in self._all(name, lines):
            known = best.get(found.line)
            if known is None and len(best) >= MAX_PER_FILE:
                break
            if known is None or (known.grade == "weak" and found.grade == "sure"):
                best[found.line] = found
        return [best[line] for line in sorted(best)]

    def _all(self, name: str, lines: Sequence[str]) -> Iterator[Credential]:
        in_test = _TEST.search(name) is not None
        sample = is_sample(name) or is_prose(name)  # what they show is made up, if it is a word
        for formed in self._forms.find(name, lines):
            if formed.value is None:
                yield Credential(formed.kind, formed.line, "sure", "form", in_test=in_test)
                continue
            judged = grade(formed.value)
            if judged is not None and not (sample and judged == "weak"):
                yield Credential(formed.kind, formed.line, judged, "address", in_test=in_test)
        for kind, value, line in credentials_of_file(name, lines):
            judged = grade(value) if value else "sure"
            if judged is not None or (value and not sample and _is_word(value)):
                yield Credential(kind, line, judged or "weak", "file", in_test=in_test)
        if is_translation(name):
            return
        for kept in kept_in(name, lines):
            # A default is in use wherever its variable is not set, be it a word.
            judged = grade(kept.value, quoted_in_code=kept.place == "assignment")
            if judged is None or _is_label(kept):
                continue
            if judged == "weak" and (sample or in_test or kept.name == OPTION):
                continue
            kind = "credential under its name"
            yield Credential(kind, kept.line, judged, "name", kept.place, kept.name, in_test)


def _is_word(value: str) -> bool:
    return re.fullmatch(r"[\w!@#%^&*+=.-]{3,64}", value) is not None and "example" not in value


def _is_label(kept: Kept) -> bool:
    """Whether a value only repeats its name: `password: Password`.

    In code any part of the name does; in what configures a program `SHOP_PASSWORD=shop` is in use.
    """
    name, value = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (kept.name, kept.value))
    return value in name if kept.place == "assignment" else name.endswith(value)
