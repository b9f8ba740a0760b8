"""Whether a file still reads as what its name says it is."""

import ast
import json
import tomllib
import warnings
from collections.abc import Callable
from pathlib import PurePosixPath

from penstock_agent_patcher.text import BOM

# These are read by programs that allow comments and trailing commas in them.
COMMENTED_JSON = frozenset(
    {"tsconfig.json", "jsconfig.json", "devcontainer.json", ".eslintrc.json"}
)
COMMENTED_FOLDERS = frozenset({".vscode", ".devcontainer"})


def fault(path: str, content: bytes) -> str | None:
    """Why the content is not well-formed; None when it is, or when nobody here can tell."""
    check = _checker(path)
    if check is None:
        return None
    try:
        check(content)
    except RecursionError:
        return "nested too deeply to be read"
    except (ValueError, MemoryError) as error:  # SyntaxError of every kind included below
        return _described(error)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    return None


def broken_by(path: str, before: bytes | None, after: bytes) -> str | None:
    """Why the change breaks a file that could be read before, or is new."""
    found = fault(path, after)
    if found is None or (before is not None and fault(path, before) is not None):
        return None
    return f"would no longer be readable: {found}"


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__


def _checker(path: str) -> Callable[[bytes], object] | None:
    name = PurePosixPath(path)
    match name.suffix.lower():
        case ".py" | ".pyi":
            return _python
        case ".json":
            commented = name.name in COMMENTED_JSON or COMMENTED_FOLDERS & set(name.parts)
            return None if commented else _json
        case ".toml":
            return _toml
        case ".yaml" | ".yml":
            return _yaml
        case _:
            return None


def _python(content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = ast.parse(content)
        # A tree can be valid that no compiler takes: `return` outside a function.
        compile(compiled, "<content>", "exec", dont_inherit=True)


def _json(content: bytes) -> None:
    json.loads(content.removeprefix(BOM).decode())


def _toml(content: bytes) -> None:
    tomllib.loads(content.removeprefix(BOM).decode())


def _yaml(content: bytes) -> None:
    # Importing it takes longer than most requests need.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        for _ in YAML(typ="safe", pure=True).parse(content.removeprefix(BOM).decode()):
            pass
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(f"{where}{getattr(error, 'problem', None) or 'not YAML'}") from error
