"""What kind of licence an identifier names; the table and its sources are in `classes.toml`."""

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, cast

Kind = Literal[
    "permissive",
    "permissive_not_with_gpl2",
    "permissive_not_with_gpl",
    "file_copyleft",
    "file_copyleft_not_with_gpl",
    "library_copyleft",
    "strong_copyleft",
    "network_copyleft",
    "content_copyleft",
    "source_available",
    "field_of_use",
    "proprietary",
    "permissive_unlisted",
    "weak_unlisted",
    "unclassified",
]
PERMISSIVE: frozenset[Kind] = frozenset(
    {
        "permissive",
        "permissive_not_with_gpl2",
        "permissive_not_with_gpl",
        "permissive_unlisted",
    }
)
CLOSED: frozenset[Kind] = frozenset({"proprietary", "source_available"})

# Categories of AboutCode's licence database, for what our own table does not have.
_BY_CATEGORY: dict[str, Kind] = {
    "Permissive": "permissive_unlisted",
    "Public Domain": "permissive_unlisted",
    "Copyleft Limited": "weak_unlisted",
    "Copyleft": "strong_copyleft",
    "Source-available": "source_available",
    "Free Restricted": "source_available",
    "Proprietary Free": "source_available",
    "Commercial": "proprietary",
}
_FAMILY = re.compile(r"(CC-BY-NC|CC-BY-ND|CC-BY-SA|PolyForm-|GFDL-|BSD-3-Clause-No-)")
_FAMILIES: dict[str, Kind] = {
    "CC-BY-NC": "source_available",
    "CC-BY-ND": "source_available",
    "CC-BY-SA": "content_copyleft",
    "PolyForm-": "source_available",
    "GFDL-": "content_copyleft",
    "BSD-3-Clause-No-": "field_of_use",
}


@dataclass(frozen=True, slots=True)
class Classes:
    """The table, turned for looking up."""

    kinds: dict[str, Kind]
    linking: frozenset[str]
    output: frozenset[str]
    gpl2_with_apache: frozenset[str]
    compatible: dict[str, frozenset[str]]


@cache
def classes() -> Classes:
    """Read the table once."""
    package = resources.files("penstock_agent_compliance_checker")
    table = tomllib.loads((package / "classes.toml").read_text("utf-8"))
    kinds: dict[str, Kind] = {
        name: cast("Kind", kind)
        for kind, names in table.items()
        if isinstance(names, list)
        for name in cast("list[str]", names)
    }
    exceptions = cast("dict[str, list[str]]", table["exceptions"])
    pairs = cast("dict[str, list[str]]", table["compatible"])
    return Classes(
        kinds,
        frozenset(exceptions["linking"]),
        frozenset(exceptions["output"]),
        frozenset(exceptions["gpl2_with_apache"]),
        {name: frozenset(others) for name, others in pairs.items()},
    )


def kind_of(name: str) -> Kind:
    """Classify an SPDX identifier or a `LicenseRef`."""
    known = classes().kinds.get(name)
    if known is not None:
        return known
    family = _FAMILY.match(name)
    if family is not None:
        return _FAMILIES[family[1]]
    return _BY_CATEGORY.get(_categories().get(name.lower(), ""), "unclassified")


@cache
def _categories() -> dict[str, str]:
    source = resources.files("license_expression") / "data" / "scancode-licensedb-index.json"
    entries = cast("list[dict[str, Any]]", json.loads(source.read_bytes()))
    found: dict[str, str] = {}
    for entry in entries:
        names = [entry.get("spdx_license_key"), *entry.get("other_spdx_license_keys", [])]
        for name in names:
            if name and not entry.get("is_deprecated"):
                found.setdefault(str(name).lower(), str(entry.get("category", "")))
    return found
