"""Findings that were known before, so that only new ones are reported."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self, cast

from penstock_agent_sdk.errors import AgentError
from penstock_agent_sdk.findings.fingerprints import Place
from penstock_agent_sdk.findings.sarif import FINGERPRINT_KEY
from penstock_agent_sdk.globs import matcher

VERSION = 1
VERSION_KEY = "penstock_baseline"
MAX_BYTES = 32 * 1024 * 1024
# Where an agent's output lists what it found.
_LISTS = ("findings", "violations", "issues")
EVERY_RULE = "*"
_PATH_KEYS = frozenset({"path", "rules", "reason", "until"})


@dataclass(frozen=True, slots=True)
class _Excuse:
    """Files whose findings of some rules are not reported."""

    matches: Callable[[str], bool]
    rules: frozenset[str]
    reason: str

    def covers(self, place: Place) -> bool:
        group = place.rule.partition(":")[0] + ":*"
        named = (place.rule, group, EVERY_RULE)
        return not self.rules.isdisjoint(named) and self.matches(place.file)


@dataclass(slots=True)
class Baseline:
    """Fingerprints that are not reported again.

    Attributes:
        expired: Entries whose `until` has passed; they cover nothing.
    """

    expired: int = 0
    _reasons: dict[str, str] = field(default_factory=dict[str, str])
    _excuses: list[_Excuse] = field(default_factory=list["_Excuse"])

    @classmethod
    def load(cls, path: Path, today: date) -> Self:
        """Read a baseline file, an earlier output of the agent, or SARIF.

        A baseline file is `{"penstock_baseline": 1, "findings": [{"fingerprint": .., "reason":
        .., "until": "2027-01-31"}], "paths": [{"path": "tests/data/**", "rules": ["*"], "reason":
        .., "until": ..}]}`. Either list may be left out, and so may every until; a path needs its
        reason. `**` is any folders, `secret:*` any rule of a group.

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
        for number, entry in enumerate(_listed(document, "paths"), 1):
            read._excuse(path, number, entry, today)
        empty: list[object] | None = [] if "paths" in document else None
        listed = next((document[key] for key in _LISTS if key in document), empty)
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

    def excuse(self, place: Place) -> str | None:
        """Give the reason why such a finding is not reported in this file, if there is one."""
        return next((one.reason for one in self._excuses if one.covers(place)), None)

    def _add(self, path: Path, number: int, entry: object, today: date) -> None:
        fields = cast("Mapping[str, object]", entry) if isinstance(entry, dict) else {}
        fingerprint = fields.get("fingerprint")
        if not isinstance(fingerprint, str) or not fingerprint:
            raise _bad(path, f"entry {number} has no fingerprint")
        if not self._ended(path, f"entry {number}", fields, today):
            self._reasons.setdefault(fingerprint, str(fields.get("reason") or ""))

    def _excuse(self, path: Path, number: int, entry: object, today: date) -> None:
        fields = cast("Mapping[str, object]", entry) if isinstance(entry, dict) else {}
        where = f"path {number}"
        glob, reason = fields.get("path"), fields.get("reason")
        rules = [one for one in _listed(fields, "rules") if isinstance(one, str) and one]
        unknown = sorted(set(fields) - _PATH_KEYS)
        if unknown:
            raise _bad(path, f"{where} has {', '.join(unknown)}, which is not known")
        if not isinstance(glob, str) or not glob or not rules:
            raise _bad(path, f'{where} needs path and rules (["*"] for all)')
        if not isinstance(reason, str) or not reason.strip():
            raise _bad(path, f"{where} has no reason")
        try:
            matches = matcher([glob])
        except re.error:
            raise _bad(path, f"{where}: its pattern cannot be read") from None
        if not self._ended(path, where, fields, today):
            self._excuses.append(_Excuse(matches, frozenset(rules), reason.strip()))

    def _ended(self, path: Path, where: str, fields: Mapping[str, object], today: date) -> bool:
        until = fields.get("until")
        if until is None:
            return False
        try:
            ended = date.fromisoformat(str(until)) < today
        except ValueError:
            what = f"until of {where} is no date; write it as 2027-01-31"
            raise _bad(path, what) from None
        self.expired += ended
        return ended


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


def _listed(fields: Mapping[str, object], key: str) -> list[object]:
    value = fields.get(key)
    return cast("list[object]", value) if isinstance(value, list) else []


def _dicts(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict):
                yield cast("Mapping[str, object]", item)


def _bad(path: Path, fault: str) -> AgentError:
    return AgentError("bad_baseline", f"baseline {path.name}: {fault}")
