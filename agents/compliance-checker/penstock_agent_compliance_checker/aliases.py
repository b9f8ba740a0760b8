"""Names that licences go by outside of SPDX: package metadata, classifiers, people's words."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import cast

from penstock_agent_compliance_checker.templates import spdx_data

_FILLER = re.compile(r"\b(?:the|license|licence|licenses|version|ver|v|agreement|software)\b")
_CLASSIFIER = re.compile(r"^license\s*::\s*(?:osi approved\s*::\s*)?", re.IGNORECASE)


def alias_of(name: str) -> str | tuple[str, ...] | None:
    """What a name stands for: an SPDX expression, several that it may mean, or None."""
    lowered = _CLASSIFIER.sub("", name).lower().strip()
    return _aliases().get(lowered) or _aliases().get(folded(lowered))


def folded(name: str) -> str:
    """A name without the words and marks that make no difference."""
    text = re.sub(r"[\"'`()\[\],:_]", " ", name.lower())
    text = re.sub(r"\bv(?=\d)", "", text)
    text = _FILLER.sub(" ", text)
    return re.sub(r"[\s-]+", " ", text).strip(" .")


@cache
def _aliases() -> dict[str, str | tuple[str, ...]]:
    source = resources.files("penstock_agent_compliance_checker") / "aliases.toml"
    table = tomllib.loads(source.read_text("utf-8"))
    found: dict[str, str | tuple[str, ...]] = {}
    for name, entry in spdx_data()["licenses"].items():
        if not entry["metadata"]["isDeprecatedLicenseId"] and folded(entry["name"]):
            found.setdefault(folded(entry["name"]), name)
            found.setdefault(folded(name), name)
    for expression, names in cast("dict[str, list[str]]", table["means"]).items():
        for name in names:
            found[name] = found[folded(name)] = expression
    for name, candidates in cast("dict[str, list[str]]", table["unclear"]).items():
        found[name] = found[folded(name)] = tuple(candidates)
    found.pop("", None)
    return found
