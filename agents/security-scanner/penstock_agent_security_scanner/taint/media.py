"""What the answers written in a file are, by the types they are sent with."""

import ast
from collections.abc import Iterator
from typing import Final

_SENDERS: Final = frozenset({"send_header", "add_header", "set_header", "append_header"})
_TYPE_KEYWORDS: Final = frozenset({"content_type", "mimetype", "media_type"})
# Types no browser runs a script of.
_DATA: Final = frozenset(
    {
        "application/json", "application/octet-stream", "application/pdf", "application/protobuf",
        "application/x-ndjson", "application/x-protobuf", "application/zip", "image/png",
        "image/jpeg", "text/csv", "text/event-stream", "text/plain",
    }
)  # fmt: skip


def only_data(tree: ast.Module) -> bool:
    """Whether every answer of a file that says its type says one of data, and one does."""
    types = set(_types(tree))
    return bool(types) and types <= _DATA


def _types(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call() if _called(node) in _SENDERS and len(node.args) > 1:
                if _text(node.args[0]).lower() == "content-type":
                    yield _type(node.args[1])
            case ast.Call() if _called(node).lower().endswith("response"):
                yield from _of_answer(node)
            case ast.Assign(targets=[ast.Attribute(attr="content_type"), *_]):
                yield _type(node.value)
            case ast.Assign(targets=[ast.Subscript() as target, *_]):
                if _text(target.slice).lower() == "content-type":
                    yield _type(node.value)
            case _:
                pass


def _called(call: ast.Call) -> str:
    """The last part of the name."""
    called = call.func
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _of_answer(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg in _TYPE_KEYWORDS:
            yield _type(keyword.value)
        elif keyword.arg == "headers" and isinstance(keyword.value, ast.Dict):
            for name, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if name is not None and _text(name).lower() == "content-type":
                    yield _type(value)


def _type(node: ast.expr) -> str:
    """In small letters and without parameters; empty for what is no plain text."""
    return _text(node).partition(";")[0].strip().lower()


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
