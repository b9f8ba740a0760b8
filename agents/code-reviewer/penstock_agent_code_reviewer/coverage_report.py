"""Which lines ran, by the coverage report that lies in the repository."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import cast

from penstock_agent_sdk.repository import SourceFile

REPORT_NAMES = frozenset(
    {"coverage.xml", "coverage.json", "lcov.info", "cobertura.xml", "coverage.lcov"}
)
MAX_LINES = 5_000_000
_CLASS = re.compile(r'<class\b[^<>]*?\bfilename="([^"<>]*)"')
_LINE = re.compile(r"<line\b([^<>]*)>")
_NUMBER = re.compile(r'\bnumber="(\d{1,9})"')
_HITS = re.compile(r'\bhits="(\d{1,18})"')


Ran = dict[int, bool]


def read(reports: Mapping[str, SourceFile]) -> tuple[str | None, dict[str, Ran]]:
    """Read the first report that can be read.

    Returns:
        Its name, and for each file line numbers with whether they ran. Names of files are as the
        report has them.
    """
    for name in sorted(reports, key=lambda one: (one.count("/"), one)):
        text = reports[name].text
        found: dict[str, Ran] = {}
        try:
            for file, line, ran in _lines(name, text):
                known = found.setdefault(file.replace("\\", "/"), {})
                known[line] = known.get(line, False) or ran
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # a damaged report tells nothing
        if found:
            return name, found
    return None, {}


def of_file(report: Mapping[str, Ran], name: str) -> Ran | None:
    """Lines of one file: by its name, or by the one report entry that ends like it."""
    if name in report:
        return report[name]
    ending = [one for one in report if one.endswith("/" + name) or name.endswith("/" + one)]
    return report[ending[0]] if len(ending) == 1 else None


def _lines(name: str, text: str) -> Iterator[tuple[str, int, bool]]:
    if name.endswith(".json"):
        yield from _of_json(text)
    elif name.endswith((".info", ".lcov")):
        yield from _of_lcov(text)
    else:
        yield from _of_xml(text)


def _of_json(text: str) -> Iterator[tuple[str, int, bool]]:
    document = cast("Mapping[str, Mapping[str, Mapping[str, list[int]]]]", json.loads(text))
    for file, told in document["files"].items():
        for line in told["executed_lines"]:
            yield file, int(line), True
        for line in told["missing_lines"]:
            yield file, int(line), False


def _of_lcov(text: str) -> Iterator[tuple[str, int, bool]]:
    file = ""
    for line in text.splitlines()[:MAX_LINES]:
        if line.startswith("SF:"):
            file = line[3:].strip()
        elif line.startswith("DA:"):
            number, hits = line[3:].split(",")[:2]
            yield file, int(number), int(hits) > 0


def _of_xml(text: str) -> Iterator[tuple[str, int, bool]]:
    """Cobertura, read by pattern: no parser that could be made to expand entities."""
    parts = _CLASS.split(text)
    for file, body in zip(parts[1::2], parts[2::2], strict=True):
        for match in _LINE.finditer(body):
            number, hits = _NUMBER.search(match[1]), _HITS.search(match[1])
            if number and hits:
                yield file, int(number[1]), int(hits[1]) > 0
