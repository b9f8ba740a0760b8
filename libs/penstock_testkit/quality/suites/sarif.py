"""SARIF as ground truth: each result a place that is vulnerable, or safe if its kind is `pass`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from penstock_contracts.values import JsonObject
from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.families import family_of
from penstock_testkit.quality.suites.folder import SuiteError, language_of

MAX_SARIF_FILES = 5_000
_CWE = re.compile(r"CWE[-_ ]?0*(\d{1,5})", re.IGNORECASE)
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_OBJECTS: TypeAdapter[list[JsonObject]] = TypeAdapter(list[JsonObject])


def read(root: Path) -> Sequence[Suite]:
    """All `*.sarif` at the top and one folder below.

    Raises:
        SuiteError: One is not SARIF.
    """
    paths = sorted([*root.glob("*.sarif"), *root.glob("*/*.sarif")])[:MAX_SARIF_FILES]
    cases: list[Case] = []
    for path in paths:
        try:
            document = _OBJECT.validate_json(path.read_bytes())
            for run in _objects(document.get("runs")):
                cases += _of_run(run, root, path.parent, len(cases))
        except (ValidationError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise SuiteError(f"{path} is not SARIF: {error}") from error
    return [
        Suite(
            name=root.name,
            kind="SARIF",
            part="scanner",
            cases=tuple(cases),
            complete=False,
            root=str(root),
            lines=False,
        )
    ]


def _of_run(run: JsonObject, root: Path, beside: Path, number: int) -> Iterator[Case]:
    driver = _object(_object(run["tool"])["driver"])
    numbers = {
        str(rule["id"]): _numbers(json.dumps(rule)) for rule in _objects(driver.get("rules"))
    }
    for result in _objects(run.get("results")):
        cwes = _numbers(json.dumps(result)) or numbers.get(str(result.get("ruleId")), frozenset())
        file, first, last = _place(result)
        path = next((p for p in (root / file, beside / file) if p.is_file()), None)
        if path is None or not cwes:
            continue
        number += 1
        source = path.relative_to(root).as_posix()
        klass = family_of(min(cwes))
        label = Label(source, first, klass, cwes)
        yield Case(
            id=f"{number}:{source}:{first}",
            klass=klass,
            language=language_of(source),
            labels=() if result.get("kind") == "pass" else (label,),
            source=source,
            also=cwes,
            within=(first, last) if first else None,
        )


def _place(result: JsonObject) -> tuple[str, int, int]:
    place = _object(_objects(result["locations"])[0]["physicalLocation"])
    file = str(_object(place["artifactLocation"])["uri"]).removeprefix("file://").lstrip("/")
    region: Mapping[str, object] = _object(place.get("region") or {})
    first = int(str(region.get("startLine", 0)))
    return file, first, int(str(region.get("endLine", first)))


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(found) for found in _CWE.findall(text))


def _object(value: object) -> JsonObject:
    return _OBJECT.validate_python(value)


def _objects(value: object) -> list[JsonObject]:
    return _OBJECTS.validate_python(value or [])
