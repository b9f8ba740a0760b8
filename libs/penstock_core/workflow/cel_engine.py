"""The CEL library, seen through the few operations used here; its only importer."""

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import cel_expr_python.cel as _library
from pydantic import JsonValue


class EngineError(Exception):
    """The library refused an expression or could not evaluate it; its words are the message."""


class _Type(Protocol):
    def name(self) -> str: ...


class _Value(Protocol):
    def type(self) -> _Type: ...

    def value(self) -> object: ...


class _Expression(Protocol):
    def eval(self, *, data: Mapping[str, JsonValue]) -> _Value: ...

    def return_type(self) -> _Type: ...


class _Env(Protocol):
    def compile(self, expression: str) -> _Expression: ...


class _Library(Protocol):
    """The part of the library that is used; its own stubs want protobuf's, which is no need."""

    def NewEnv(self, *, variables: Mapping[str, object]) -> _Env: ...  # noqa: N802


class _Types(Protocol):
    DYN: object


_NEW_ENV = cast("_Library", _library)
_DYNAMIC = cast("_Types", _library.Type).DYN
_ERROR = "ERROR"


class Program:
    """A compiled expression; immutable, so that one serves every caller."""

    __slots__ = ("_expression",)

    def __init__(self, text: str, variables: Iterable[str]) -> None:
        """Parse and check `text`; every variable may hold any JSON value.

        Raises:
            EngineError: it is no CEL, or calls a function that does not exist.
        """
        try:
            env = _NEW_ENV.NewEnv(variables=dict.fromkeys(variables, _DYNAMIC))
            self._expression = env.compile(text)
        except (RuntimeError, ValueError) as error:
            raise EngineError(str(error)) from None

    @property
    def result_type(self) -> str:
        """What it gives as far as that is known: `BOOL`, `INT`, ..., `DYN`."""
        return self._expression.return_type().name()

    def evaluate(self, values: Mapping[str, JsonValue]) -> object:
        """Give the value of the expression.

        Raises:
            EngineError: it has none for these values.
        """
        try:
            result = self._expression.eval(data=values)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise EngineError(str(error)) from None
        value = result.value()
        if result.type().name() == _ERROR:
            raise EngineError(str(value))
        return value
