"""Templates: `{{node.output.field}}` in strings anywhere in a JSON value. Data in, data out."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue


class TemplateError(Exception):
    """A template is malformed, or a reference in it has no value.

    Attributes:
        pointer: RFC 6901 pointer to the string, relative to the template's own root.
        message: what is wrong, without any payload.
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.pointer = pointer
        self.message = message


@dataclass(frozen=True, slots=True)
class Reference:
    """One `{{...}}`: a root name and the way into its value.

    Attributes:
        root: `inputs`, `trigger`, `run` or a node's name.
        path: field names and list positions, after the root.
        pointer: RFC 6901 pointer to the string it stands in.
        alone: whether it is the whole string, so that the typed value passes.
    """

    root: str
    path: tuple[str | int, ...]
    pointer: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value with references, compiled."""

    source: JsonValue
    references: tuple[Reference, ...]

    def render(self, scope: Mapping[str, JsonValue]) -> JsonValue:
        """Give the value with every reference replaced.

        Raises:
            TemplateError: a reference has no value, or the result is too large.
        """
        raise NotImplementedError


def compile_template(value: JsonValue) -> Template:
    """Compile a JSON value.

    Raises:
        TemplateError: a string in it is malformed.
    """
    raise NotImplementedError
