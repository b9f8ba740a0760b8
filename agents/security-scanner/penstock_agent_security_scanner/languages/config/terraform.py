"""What is wrong in Terraform: settings by table, networks and policies by hand."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import cloud_networks, cloud_policies, rules
from penstock_agent_security_scanner.languages.config.parts import Part, Scalar
from penstock_agent_security_scanner.languages.config.read_terraform import Section, read_terraform
from penstock_agent_security_scanner.languages.config.secret_names import is_secret

Found = Iterator[tuple[Rule, int]]
_UNSET = object()
MAX_PLACES = 50
MAX_OTHERS = 300
_KEYS = frozenset({"rule", "on", "path", "must", "is", "text", "below", "absent", "unless"})
_SECRET_BLOCKS = frozenset({"resource", "provider", "module", "data"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a resource that can be wrong.

    Attributes:
        path: Names from the resource to it; blocks inside are looked at one by one.
        must: What it has to be; missing is wrong too.
        wrong: What it must not be.
        text: What its text must not be like.
        below: It must not be smaller.
        absent: It has to be there.
        unless: Another resource of this type in the file, which refers to this one, makes it good;
            or a name of this resource that does.
    """

    rule: Rule
    path: tuple[str, ...]
    must: Any
    wrong: tuple[Scalar, ...]
    text: re.Pattern[str] | None
    below: float | None
    absent: bool
    unless: tuple[str, ...]


@cache
def _settings() -> dict[str, list[Setting]]:
    text = files(__package__ or "").joinpath("terraform.toml").read_text(encoding="utf-8")
    found: dict[str, list[Setting]] = {}
    for entry in tomllib.loads(text)["setting"]:
        if not set(entry) <= _KEYS:
            raise KeyError(f"terraform.toml: {sorted(set(entry) - _KEYS)}")
        setting = Setting(
            rules.CLOUD[entry["rule"]],
            tuple(entry["path"].split(".")),
            entry.get("must", _UNSET),
            tuple(entry.get("is", ())),
            re.compile(entry["text"]) if "text" in entry else None,
            entry.get("below"),
            entry.get("absent", False),
            tuple(entry.get("unless", ())),
        )
        for kind in entry["on"]:
            found.setdefault(kind, []).append(setting)
    return found


def scan_terraform(text: str) -> Found:
    """Rule and line of every weakness."""
    sections = read_terraform(text)
    by_type: dict[str, list[Section]] = {}
    for section in sections:
        by_type.setdefault(section.labels[0] if section.labels else "", []).append(section)
    for section in sections:
        if section.type == "resource" and len(section.labels) >= 2:
            for setting in _settings().get(section.labels[0], ()):
                if not _is_excused(setting, section, by_type):
                    yield from _judged(setting, section)
        yield from cloud_networks.judged(section)
        yield from cloud_policies.judged(section)
        if section.type in _SECRET_BLOCKS:
            yield from _secrets(section.values, 0)
        if section.type == "variable" and section.labels:
            default = section.values.get("default")
            if default is not None and is_secret(section.labels[0], default.value):
                yield rules.SECRET_IN_CONFIG, section.values.line_of("default")


def _is_excused(setting: Setting, section: Section, by_type: dict[str, list[Section]]) -> bool:
    for name in setting.unless:
        if any(_is_about(other, section) for other in by_type.get(name, ())[:MAX_OTHERS]):
            return True
        if section.values.get(*name.split(".")) is not None:
            return True
    return False


def _is_about(other: Section, section: Section) -> bool:
    """Whether a resource refers to another, by its address or the name of its bucket."""
    own = f"{section.labels[0]}.{section.labels[1]}"
    if any(ref == own or ref.startswith((f"{own}.", f"{own}[")) for ref in other.references):
        return True
    bucket = section.values.text("bucket")
    return bool(bucket) and other.values.text("bucket") == bucket


def _places(part: Part, path: tuple[str, ...]) -> list[tuple[Part, str]]:
    """Every map that should hold the last name of a path."""
    places = [part]
    for name in path[:-1]:
        inner: list[Part] = []
        for place in places:
            inner.extend(found for found in place.each(name) if found.keys is not None)
        places = inner[:MAX_PLACES]
    return [(place, path[-1]) for place in places]


def _judged(setting: Setting, section: Section) -> Found:
    places = _places(section.values, setting.path)
    needed = setting.absent or setting.must is not _UNSET
    if not places and needed:
        yield setting.rule, section.line
    for place, name in places:
        part = place.get(name)
        if part is None or (
            part.value is None and part.keys is None and part.items is None and part.known
        ):
            if needed:
                yield setting.rule, place.line
        elif part.known and _is_wrong(setting, part):
            yield setting.rule, place.line_of(name)


def _is_wrong(setting: Setting, part: Part) -> bool:
    values = (
        [item.value for item in part.items if item.known]
        if part.items is not None
        else [part.value]
    )
    if setting.absent:
        return part.items == []
    for value in values:
        shown = ("true" if value else "false") if isinstance(value, bool) else str(value)
        if setting.must is not _UNSET:
            wanted = setting.must
            expected = ("true" if wanted else "false") if isinstance(wanted, bool) else str(wanted)
            if shown.lower() != expected.lower():
                return True
        if any(shown.lower() == str(wrong).lower() for wrong in setting.wrong):
            return True
        if setting.text is not None and setting.text.search(shown):
            return True
        if setting.below is not None and _number(shown) < setting.below:
            return True
    return False


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


def _secrets(part: Part, depth: int) -> Found:
    for name, value in part.pairs():
        if value.known and is_secret(name, value.value):
            yield rules.SECRET_IN_CONFIG, part.line_of(name)
        if depth < 4:  # blocks, maps of settings and variables of functions
            for inner in [value, *(value.items or ())]:
                if inner.keys is not None:
                    yield from _secrets(inner, depth + 1)
