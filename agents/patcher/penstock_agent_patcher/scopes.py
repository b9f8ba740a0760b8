"""Whether a rename left the meaning of every name in a file as it was.

The compiler's own symbol tables are compared before and after: in each scope the old name has to
be gone with all its meaning taken over by the new one, or to be there as it was.
"""

import symtable
from collections.abc import Iterator

Flags = tuple[bool, ...]


def scope_fault(before: str, after: str, old: str, new: str) -> str | None:
    """Why the file no longer means the same; None when it does, or was not readable before."""
    try:
        first = symtable.symtable(before, "<before>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    try:
        second = symtable.symtable(after, "<after>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"would no longer be readable: {error}"
    moved = _names(first, old, new).get(old) is not None and old not in _names(second, old, new)
    return next(_faults(first, second, old, new, moved=moved), None)


def _faults(
    first: symtable.SymbolTable, second: symtable.SymbolTable, old: str, new: str, *, moved: bool
) -> Iterator[str]:
    where = f"line {first.get_lineno()}, {first.get_type()} {first.get_name()}"
    mine, other = _names(first, old, new), _names(second, old, new)
    kept = mine.get(old) == other.get(old) and mine.get(new) == other.get(new)
    taken = old not in other and new not in mine and other.get(new) == mine.get(old)
    # In a class, the value of `x = x` is the outer one.
    outer = (
        first.get_type() == "class" and old in other and new not in mine and _is_global(second, new)
    )
    if not (kept or taken or outer):
        reason = f"{new} means something there already" if new in mine else f"{old} would be split"
        yield f"{reason} ({where})"
    elif kept and moved and old in other and _is_global(second, old):
        yield f"{old} is used there in a way that would be missed ({where})"
    if mine.keys() - {old, new} != other.keys() - {old, new}:
        yield f"other names would change ({where})"
    for left, right in zip(first.get_children(), second.get_children(), strict=False):
        yield from _faults(left, right, old, new, moved=moved)


def _names(table: symtable.SymbolTable, old: str, new: str) -> dict[str, Flags]:
    return {_plain(each.get_name(), old, new): _flags(each) for each in table.get_symbols()}


def _plain(name: str, old: str, new: str) -> str:
    """Without the class's name that Python puts before two underscores."""
    for private in (old, new):
        if private.startswith("__") and name.endswith(private) and name.startswith("_"):
            return private
    return name


def _flags(symbol: symtable.Symbol) -> Flags:
    return (
        symbol.is_parameter(),
        symbol.is_global(),
        symbol.is_declared_global(),
        symbol.is_nonlocal(),
        symbol.is_local(),
        symbol.is_free(),
        symbol.is_imported(),
        symbol.is_assigned(),
    )


def _is_global(table: symtable.SymbolTable, name: str) -> bool:
    return any(
        each.get_name() == name and each.is_global() and not each.is_assigned()
        for each in table.get_symbols()
    )
