"""Which version text follows from the one that stands there and the one that is wanted.

A plain version keeps each declaration's own operator; a whole specifier replaces what is there.
"""

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from penstock_agent_patcher.conflicts import Unfit

_CLAUSE = re.compile(r"(~=|===|==|!=|<=|>=|<|>)(\s*)([^\s,()]+)")
_LOWER = ("===", "==", ">=", "~=", ">")
_PLAIN = r"\d+(?:\.\d+)*(?:[-.]?[A-Za-z][A-Za-z0-9.-]*)?(?:\+[A-Za-z0-9.-]+)?"
_SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_RANGE = re.compile(r"[0-9A-Za-z.^~<>=|*,+\s-]+")
_OPERATOR_FIRST = ("=", "<", ">", "~", "!", "^")


def python_specifier(current: str, wanted: str) -> str:
    """A PEP 440 specifier set; blanks and order of the present clauses are kept.

    Raises:
        Unfit: `wanted` is neither a version nor a specifier, or what stands there excludes it.
    """
    if wanted.strip().startswith(_OPERATOR_FIRST):
        _checked_set(wanted)
        return wanted.strip()
    version = _checked_version(wanted)
    clauses = list(_CLAUSE.finditer(current))
    lower = next((c for operator in _LOWER for c in clauses if c[1] == operator), None)
    if lower is None:
        text = f">={wanted}" + (f",{current.strip()}" if current.strip() else "")
    else:
        text = current[: lower.start()] + _moved(lower, version, wanted) + current[lower.end() :]
    if not _checked_set(text).contains(version, prereleases=True):
        raise Unfit(
            f"{wanted} is outside of {current.strip()!r}: give a whole specifier to widen it"
        )
    return text


def poetry_constraint(current: str, wanted: str) -> str:
    """A constraint of Poetry's: caret, tilde, exact or PEP 440 clauses.

    Raises:
        Unfit: As of `python_specifier`, or the constraint has several alternatives.
    """
    plain = current.strip()
    if wanted.strip().startswith(_OPERATOR_FIRST):
        if not _RANGE.fullmatch(wanted.replace("!", "")):
            raise Unfit(f"{wanted!r} is no constraint")
        return wanted.strip()
    _checked_version(wanted)
    if plain in ("", "*"):
        return f">={wanted}"
    if re.fullmatch(rf"\^\s*{_PLAIN}", plain):
        return "^" + wanted
    if re.fullmatch(rf"~\s*{_PLAIN}", plain) and "." in plain:
        return "~" + wanted
    if re.fullmatch(_PLAIN, plain):
        return wanted
    if "||" in plain or not _CLAUSE.match(plain):
        raise Unfit(f"{plain!r} has no single version to raise: give a whole constraint")
    return python_specifier(plain, wanted)


def npm_range(current: str, wanted: str) -> str:
    """A range of package.json.

    Raises:
        Unfit: Not declared by version (a tag, an address, a workspace), or a range with no single
            version to raise.
    """
    plain, target = current.strip(), wanted.strip()
    if ":" in plain or "/" in plain:
        raise Unfit(f"declared by {plain.partition(':')[0]!r}, not by version")
    if target.startswith(_OPERATOR_FIRST) or not _SEMVER.fullmatch(target):
        if not _RANGE.fullmatch(target) or not re.search(r"\d|\*", target):
            raise Unfit(f"{wanted!r} is no version range")
        return target
    if plain in ("", "*", "x"):
        return f">={target}"
    if match := re.fullmatch(rf"(\^|>=\s*|=\s*v?|v?)({_PLAIN})", plain):
        if match[1] != "^" and not match[1].startswith(">=") and match[2].count(".") < 2:
            raise Unfit(f"{plain!r} means every version that begins so: give a whole range")
        return match[1] + target
    if re.fullmatch(rf"~\s*{_PLAIN}", plain) and "." in plain:
        return "~" + target
    if match := re.fullmatch(rf"(>=?\s*)({_PLAIN})(\s+<\s*)({_PLAIN})", plain):
        if _semver(target) >= _semver(match[4]):
            raise Unfit(f"{target} is outside of {plain!r}: give a whole range to widen it")
        return f">={match[1][2:] if match[1].startswith('>=') else ''}{target}{match[3]}{match[4]}"
    raise Unfit(f"{plain!r} has no single version to raise: give a whole range")


def _moved(clause: re.Match[str], version: Version, wanted: str) -> str:
    """One lower clause with the new version, meaning as much or as little as it did."""
    operator, blanks, old = clause[1], clause[2], clause[3]
    if operator == "==" and old.endswith(".*"):
        kept = ".".join(str(part) for part in version.release[: old.count(".")])
        return f"=={blanks}{kept}.*"
    if operator == "~=":
        # ~=2.31 allows 2.99; ~=2.32.1 would not.
        length = len(Version(old).release)
        release = [*version.release, 0][: max(length, 2)]
        kept = ".".join(str(part) for part in release)
        exact = "" if Version(kept) == version else f",>={blanks}{wanted}"
        return f"~={blanks}{kept}{exact}"
    return f"{'>=' if operator == '>' else operator}{blanks}{wanted}"


def _checked_version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise Unfit(f"{text!r} is no version") from error


def _checked_set(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text.strip())
    except InvalidSpecifier as error:
        raise Unfit(f"{text!r} is no version specifier") from error


def _semver(text: str) -> tuple[int, int, int, bool, str]:
    match = re.fullmatch(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?", text)
    if match is None:
        raise Unfit(f"{text!r} is no version")
    major, minor, patch = (int(part or 0) for part in match.groups()[:3])
    return major, minor, patch, match[4] is None, match[4] or ""
