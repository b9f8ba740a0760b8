"""The table of decision records, docs/adr/README.md, from the header of each record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "docs/adr"
STATUSES = ("proposed", "accepted", "superseded", "rejected")
OWNS = (f"{FOLDER}/README.md",)

_FILE = re.compile(r"(\d{4})-[a-z0-9-]+\.md")
_TITLE = re.compile(r"# (\d{4})\. (\S.*)")
_FIELD = re.compile(r"- (Status|Date|Decides): (\S.*)")

_HEAD = """\
# Decision records

<!-- Written by `make generate` from the headers of the records. Do not edit. -->

A record says what was decided, why, and what it costs. It is not rewritten when the decision
changes: a new record supersedes it. The header every record has is described in
[0001](0001-record-decisions.md).

| no. | decision | status | date | in one line |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Record:
    """The header of one decision record."""

    path: str
    number: str
    title: str
    status: str
    date: str
    decides: str


class HeaderError(ValueError):
    """A record whose header is not `# NNNN. Title`, then Status, Date and Decides."""


def read_record(file: Path) -> Record:
    """Reads the header of one record.

    Args:
        file: A file of docs/adr whose name starts with the record's four digits.

    Raises:
        HeaderError: a field is missing, out of form, or contradicts the file's name.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    name = _FILE.fullmatch(file.name)
    title = _TITLE.fullmatch(lines[0]) if lines else None
    if name is None or title is None or title[1] != name[1]:
        raise HeaderError(f"{file.name}: the name is NNNN-words.md, the first line `# NNNN. Title`")
    fields = {match[1]: match[2] for line in lines[1:12] if (match := _FIELD.fullmatch(line))}
    missing = {"Status", "Date", "Decides"} - set(fields)
    if missing:
        raise HeaderError(f"{file.name}: no line `- {min(missing)}: ...` below the title")
    if fields["Status"].split()[0] not in STATUSES:
        raise HeaderError(f"{file.name}: status is one of {', '.join(STATUSES)}")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", fields["Date"]):
        raise HeaderError(f"{file.name}: the date is YYYY-MM-DD")
    return Record(
        file.name, title[1], title[2], fields["Status"], fields["Date"], fields["Decides"]
    )


def generate(root: Path) -> Mapping[str, str]:
    """Writes the index of all records."""
    records = [read_record(file) for file in sorted((root / FOLDER).glob("[0-9]*.md"))]
    rows = [
        f"| {record.number} | [{record.title}]({record.path}) "
        f"| {record.status} | {record.date} | {record.decides} |\n"
        for record in records
    ]
    return {f"{FOLDER}/README.md": _HEAD + "".join(rows)}
