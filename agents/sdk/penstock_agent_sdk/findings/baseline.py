"""Findings that were known before, so that only new ones are reported."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self, cast

from penstock_agent_sdk.errors import AgentError
from penstock_agent_sdk.findings.sarif import FINGERPRINT_KEY

VERSION = 1
VERSION_KEY = "penstock_baseline"
MAX_BYTES = 32 * 1024 * 1024
# Where an agent's output lists what it found.
_LISTS = ("findings", "violations", "issues")


@dataclass(slots=True)
class Baseline:
    """Fingerprints that are not reported again.

    Attributes:
        expired: Entries whose `until` has passed; they cover nothing.
    """

    expired: int = 0
    _reasons: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def load(cls, path: Path, today: date) -> Self:
        """Read a baseline file, an earlier output of the agent, or SARIF.

        A baseline file is `{"penstock_baseline": 1, "findings": [{"fingerprint": .., "reason":
        .., "until": "2027-01-31"}]}`; reason and until may be left out.

        Args:
            path: A regular file of at most `MAX_BYTES`.
            today: An entry covers up to and including its `until`.

        Raises:
            AgentError: `bad_baseline`: it cannot be read, or is none of the three.
        """
        document = _document(path)
        read = cls()
        if "runs" in document:
            for fingerprint in _of_sarif(document):
                read._reasons.setdefault(fingerprint, "")
            return read
        if document.get(VERSION_KEY, VERSION) != VERSION:
            raise _bad(path, f"its version is {document[VERSION_KEY]!r}; {VERSION} can be read")
        listed = next((document[key] for key in _LISTS if key in document), None)
        if not isinstance(listed, list):
            raise _bad(path, f"it has none of the lists {', '.join(_LISTS)}, and is no SARIF")
        for number, entry in enumerate(cast("list[object]", listed), 1):
            read._add(path, number, entry, today)
        return read

    def __len__(self) -> int:
        """How many fingerprints are covered."""
        return len(self._reasons)

    def covers(self, fingerprint: str) -> bool:
        """Whether a finding was known before."""
        return fingerprint in self._reasons

    def reason(self, fingerprint: str) -> str:
        """Why it is not reported; empty if the file does not say."""
        return self._reasons.get(fingerprint, "")

    def _add(self, path: Path, number: int, entry: object, today: date) -> None:
        fields = cast("Mapping[str, object]", entry) if isinstance(entry, dict) else {}
        fingerprint = fields.get("fingerprint")
        if not isinstance(fingerprint, str) or not fingerprint:
            raise _bad(path, f"entry {number} has no fingerprint")
        until = fields.get("until")
        if until is not None:
            try:
                ended = date.fromisoformat(str(until)) < today
            except ValueError:
                what = f"until of entry {number} is no date; write it as 2027-01-31"
                raise _bad(path, what) from None
            if ended:
                self.expired += 1
                return
        self._reasons.setdefault(fingerprint, str(fields.get("reason") or ""))


def _document(path: Path) -> Mapping[str, object]:
    try:
        if not path.is_file():
            raise _bad(path, "there is no such file in this sandbox")
        with path.open("rb") as source:
            raw = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise _bad(path, f"it cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise _bad(path, f"it has more than {MAX_BYTES} bytes")
    try:
        document: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "it is not JSON") from error
    if not isinstance(document, dict):
        raise _bad(path, "it is not a JSON object")
    return cast("Mapping[str, object]", document)


def _of_sarif(document: Mapping[str, object]) -> Iterator[str]:
    for run in _dicts(document.get("runs")):
        for result in _dicts(run.get("results")):
            prints = result.get("partialFingerprints")
            if isinstance(prints, dict):
                value = cast("Mapping[str, object]", prints).get(FINGERPRINT_KEY)
                if isinstance(value, str) and value:
                    yield value


def _dicts(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict):
                yield cast("Mapping[str, object]", item)


def _bad(path: Path, fault: str) -> AgentError:
    return AgentError("bad_baseline", f"baseline {path.name}: {fault}")
