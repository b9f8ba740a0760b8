"""A document as read: its value, and where each part of it stands in the text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_contracts.values import JsonObject


class DocumentError(ValueError):
    """A text is no document that can be used.

    Attributes:
        name: of the file.
        line: from 1.
        column: from 1, in characters.
        message: what is wrong.
    """

    def __init__(self, name: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{name}:{line}:{column}: {message}")
        self.name = name
        self.line = line
        self.column = column
        self.message = message


class Position(NamedTuple):
    """A place in a text, from 1; columns are characters."""

    line: int
    column: int


class Spot(NamedTuple):
    """Where a part of a document stands.

    Attributes:
        key: of its field's name, or of a list's item.
        value: of the value itself.
        spread: the value is a block over lines of its own, so that its name is what to point at.
    """

    key: Position
    value: Position
    spread: bool


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text.

    Attributes:
        name: of the file, as it is shown to people.
        value: what the document says.
        lines: the whole text, so that a place can be shown.
        spots: the place of each part, by RFC 6901 pointer.
    """

    name: str
    value: JsonObject
    lines: tuple[str, ...] = field(repr=False)
    spots: Mapping[str, Spot] = field(repr=False)

    def locate(self, pointer: str, *, at_key: bool = False) -> Position:
        """Give the place of a part; of its nearest ancestor where it does not exist.

        Args:
            pointer: RFC 6901.
            at_key: the place of the field's name instead of its value's.
        """
        spot = self.spots.get(pointer)
        if spot is not None:
            return spot.key if at_key or spot.spread else spot.value
        while pointer:
            pointer = pointer.rpartition("/")[0]
            if pointer in self.spots:
                return self.locate(pointer, at_key=True)
        return Position(1, 1)
