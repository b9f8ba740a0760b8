"""Values of a configuration file, with the lines they stand on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Scalar = str | int | float | bool | None
MAX_VISITED = 20_000


@dataclass(slots=True, eq=False)
class Part:
    """A scalar, a map or a list.

    Attributes:
        line: Where it begins, from 1.
        value: The scalar; None for the other kinds and for null.
        known: Whether the value can be told from the file alone.
        keys: Parts of a map by their names.
        items: Elements of a list.
        key_lines: Where the names of a map stand.
    """

    line: int
    value: Scalar = None
    known: bool = True
    keys: "dict[str, Part] | None" = None
    items: "list[Part] | None" = None
    key_lines: dict[str, int] = field(default_factory=dict[str, int])

    def get(self, *path: str) -> "Part | None":
        """The part at a path of names."""
        part: Part | None = self
        for name in path:
            if part is None or part.keys is None:
                return None
            part = part.keys.get(name)
        return part

    def scalar(self, *path: str) -> Scalar:
        """The scalar at a path of names."""
        part = self.get(*path)
        return part.value if part is not None else None

    def text(self, *path: str) -> str:
        """The scalar at a path as text; empty when there is none."""
        value = self.scalar(*path)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def each(self, *path: str) -> "list[Part]":
        """Elements of the list at a path; a single value counts as a list of one."""
        part = self.get(*path)
        if part is None:
            return []
        return part.items if part.items is not None else [part]

    def pairs(self, *path: str) -> "list[tuple[str, Part]]":
        """Names and parts of the map at a path."""
        part = self.get(*path)
        return list(part.keys.items()) if part is not None and part.keys is not None else []

    def line_of(self, *path: str) -> int:
        """Where the last name of a path stands; the nearest line around when it does not."""
        part: Part = self
        line = self.line
        for name in path:
            if part.keys is None or name not in part.keys:
                break
            line = part.key_lines.get(name, line)
            part = part.keys[name]
        return line

    def walk(self) -> "Iterator[Part]":
        """This part and everything in it, each once."""
        pending: list[Part] = [self]
        seen: set[int] = set()
        while pending and len(seen) < MAX_VISITED:
            part = pending.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            if part.keys is not None:
                pending.extend(part.keys.values())
            if part.items is not None:
                pending.extend(part.items)
