"""Lists, dictionaries and texts as far as their parts are known."""

from dataclasses import replace

from penstock_agent_security_scanner.taint import folding
from penstock_agent_security_scanner.taint.values import (
    HOLE,
    MAX_ITEMS,
    NOTHING,
    NUMBER,
    UNKNOWN,
    Value,
    constant,
    joined,
    merged,
)

_APPENDING = frozenset({"add", "append", "appendleft", "put", "put_nowait", "push", "send"})
_JOINING = frozenset({"extend", "extendleft", "update", "write", "writelines", "writerow"})


def listed(values: list[Value]) -> Value:
    """A list, tuple or set of these."""
    return Value(items=tuple(values), kind="list", fixed=all(value.fixed for value in values))


def element(owner: Value) -> Value:
    """What iterating gives."""
    if owner.items is not None:
        return joined(owner.items)
    if owner.rest is not None and owner.kind != "dict":
        return owner.rest
    if owner.pairs is not None:
        return joined([Value(taint=owner.taint), *(_key(key) for key, _ in owner.pairs)])
    if isinstance(owner.const, str):
        return Value(fixed=True, text=HOLE, kind="str")
    kind = f"{owner.kind}[]" if owner.kind else ""
    return Value(taint=owner.taint, text=HOLE, fixed=owner.fixed, kind=kind)


def _key(key: object) -> Value:
    return constant(key) if isinstance(key, str | int | None) else NOTHING


def item(owner: Value, key: Value) -> Value:
    """`owner[key]`."""
    if owner.items is not None:
        if isinstance(key.const, int):
            try:
                return owner.items[key.const]
            except IndexError:
                return NOTHING
        return joined(owner.items)
    if owner.pairs is not None and key.known:
        found = owner.at(key.const)
        if found is not None:
            return found
    if owner.pairs and owner.rest is None and owner.taint == NOTHING.taint:
        return joined(value for _, value in owner.pairs)
    if owner.known and key.known:
        folded = folding.subscript(owner.const, key.const)
        if folded is not UNKNOWN:
            return constant(folded)
    if owner.rest is not None:
        return joined([owner.rest, *(value for _, value in owner.pairs or ())])
    kind = f"{owner.kind}[]" if owner.kind not in ("", "str", "dict", "list") else ""
    return Value(
        taint=owner.whole(), text=HOLE, fixed=owner.fixed and owner.kind == "str", kind=kind
    )


def sliced(owner: Value, lower: Value, upper: Value, step: Value) -> Value:
    """`owner[lower:upper:step]`."""
    bounds = (lower.const, upper.const, step.const)
    if all(bound is None or isinstance(bound, int) for bound in bounds) and step.const != 0:
        if owner.items is not None:
            start, stop, stride = (b if isinstance(b, int) else None for b in bounds)
            return listed(list(owner.items[start:stop:stride]))
        folded = folding.sliced(owner.const, *bounds)
        if folded is not UNKNOWN:
            return constant(folded)
    if owner.items is not None:
        return Value(rest=joined(owner.items), kind="list")
    return Value(
        taint=owner.whole(), text=HOLE, fixed=owner.fixed, kind=owner.kind, rest=owner.rest
    )


def membership(left: Value, right: Value, inside: bool) -> object:
    """`left in right` where that can be told."""
    if right.items is not None and all(value.known for value in right.items):
        return any(value.const == left.const for value in right.items) == inside
    if right.pairs is not None and right.rest is None and right.kind == "dict":
        return any(key == left.const for key, _ in right.pairs) == inside
    return UNKNOWN


def updated(owner: Value, other: Value) -> Value:
    """`owner.update(other)`."""
    for key, value in other.pairs or ():
        owner = owner.having(key, value)
    if other.pairs is None:
        rest = other.rest or other.plain()
        owner = replace(owner, rest=joined([rest, owner.rest or rest]))
    return owner


def stored(owner: Value, key: Value, value: Value) -> Value:
    """`owner[key] = value`."""
    if owner.items is not None and isinstance(key.const, int):
        items = list(owner.items)
        if -len(items) <= key.const < len(items):
            items[key.const] = value
            return listed(items)
    if key.known and owner.items is None:
        return owner.having(key.const, value)
    known = [*(owner.items or ()), *([owner.rest] if owner.rest is not None else [])]
    return replace(
        owner,
        items=None,
        const=UNKNOWN,
        rest=joined([value, *known]),
        taint=merged([owner.taint, key.whole()]) if owner.kind == "dict" else owner.taint,
    )


def mutated(owner: Value, method: str, arguments: list[Value]) -> tuple[Value, Value] | None:
    """What a method call leaves of its object, and gives; None when it changes nothing known."""
    if owner.items is not None:
        changed = _list_method(owner.items, method, arguments)
        if changed is not None:
            return changed
    if method in ("set", "setdefault", "__setitem__") and len(arguments) in (2, 3):
        *keys, value = arguments
        if all(key.known for key in keys):
            key = keys[0].const if len(keys) == 1 else tuple(part.const for part in keys)
            return owner.having(key, value), value
    if method == "clear":
        return replace(owner, items=None, pairs=(), rest=None, const=UNKNOWN), NOTHING
    if method == "update" and arguments and owner.kind == "dict":
        return updated(owner, arguments[0]), NOTHING
    if method in _APPENDING | _JOINING and arguments and owner.target is None:
        return _absorbed(owner, method, arguments), NOTHING
    return None


def _list_method(
    items: tuple[Value, ...], method: str, arguments: list[Value]
) -> tuple[Value, Value] | None:
    first = arguments[0] if arguments else NOTHING
    if method in ("append", "add") and len(items) < MAX_ITEMS:
        return listed([*items, first]), NOTHING
    if method == "insert" and len(arguments) == 2 and isinstance(first.const, int):
        copy = list(items)
        copy.insert(first.const, arguments[1])
        return listed(copy[:MAX_ITEMS]), NOTHING
    if method == "extend" and first.items is not None:
        return listed([*items, *first.items][:MAX_ITEMS]), NOTHING
    if method == "pop" and items:
        index = first.const if arguments else -1
        if isinstance(index, int) and -len(items) <= index < len(items):
            copy = list(items)
            return listed(copy[:index] + copy[index + 1 :] if index >= 0 else copy[:-1]), copy[
                index
            ]
    if method == "reverse":
        return listed(list(reversed(items))), NOTHING
    return None


def _absorbed(owner: Value, method: str, arguments: list[Value]) -> Value:
    """Something was put into it, nobody knows where."""
    if method == "write" and owner.kind.endswith("StringIO()"):
        text = (owner.text + (arguments[0].text or HOLE))[:300]
        taint = merged([owner.taint, arguments[0].whole()])
        return replace(owner, taint=taint, text=text, fixed=False)
    given = [element(a) if method in _JOINING else a for a in arguments]
    parts = [*given, *(owner.items or ()), *([owner.rest] if owner.rest is not None else [])]
    return replace(owner, items=None, const=UNKNOWN, rest=joined(parts))


def looked_up(owner: Value, method: str, arguments: list[Value]) -> Value | None:
    """What a reading method of a mapping or list gives, where that is known."""
    if method == "get" and arguments and (owner.pairs is not None or owner.rest is not None):
        key = arguments[0]
        if len(arguments) > 1 and arguments[1].known and key.known:
            found = owner.at((key.const, arguments[1].const))  # sections, as of configparser
            if found is not None:
                return found
        if key.known:
            found = owner.at(key.const)
            if found is not None:
                return joined([found, *arguments[1:]]) if owner.rest is not None else found
        known = [value for _, value in owner.pairs or ()]
        rest = [owner.rest] if owner.rest is not None else []
        return joined([*known, *rest, *arguments[1:]])
    if method == "values" and (owner.pairs is not None or owner.rest is not None):
        rest = [owner.rest] if owner.rest is not None else []
        return Value(rest=joined([*(value for _, value in owner.pairs or ()), *rest]), kind="list")
    if method == "items" and owner.pairs is not None:
        value = joined([part for _, part in owner.pairs] + ([owner.rest] if owner.rest else []))
        return Value(rest=listed([Value(taint=owner.taint), value]), kind="list")
    if method in ("count", "index", "isdigit", "isalnum", "isalpha", "startswith", "endswith"):
        return NUMBER
    if method == "copy":
        return owner
    return None
