"""Every fault of an agent's folder at once, with its place and a way out.

Registering takes a manifest with fields it does not know, so that newer ones can be read by older
services. Here such a field is a fault: most are typing errors, and `limit:` limits nothing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import ValidationError

from penstock_adapters.yaml import Document, DocumentError, read_document
from penstock_contracts.agent.v1 import AgentLimits, AgentManifest, OptionalSecret, Workspace
from penstock_contracts.values import JsonObject, Wire
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.problems import ProblemCode
from penstock_core.workflow.templating import escape_token
from penstock_runtime.bundles import MANIFEST_NAME, BundleFault, bundle_digest

INVALID = "invalid"
_INSIDE = "/penstock/agent/"


def document_of(folder: Path) -> Document | str:
    """Read the manifest of a folder; a text says why it cannot be."""
    path = folder / MANIFEST_NAME
    try:
        return read_document(path.read_text(encoding="utf-8"), str(path))
    except DocumentError as error:
        return str(error)
    except FileNotFoundError:
        return f"{path}: there is no such file; `penstock agent new` makes one"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {error}"


def problems_of(folder: Path, document: Document) -> list[Problem]:
    """Give all that is wrong with a manifest and what it names."""
    found = list(_unknown(document.value))
    try:
        manifest = AgentManifest.model_validate(document.value)
    except ValidationError as error:
        return found + list(_refused(error))
    found += _schemas(manifest)
    found += _inputs(manifest)
    found += _command(folder, manifest)
    try:
        _ = bundle_digest(folder)
    except BundleFault as fault:
        found.append(Problem(pointer="", code=INVALID, message=str(fault)))
    return found


def _refused(error: ValidationError) -> Iterator[Problem]:
    for each in error.errors(include_url=False, include_input=False):
        pointer = "".join(f"/{escape_token(str(part))}" for part in each["loc"])
        where = f"{'.'.join(map(str, each['loc']))}: " if each["loc"] else ""
        message = str(each["msg"]).removeprefix("Value error, ")
        if each["type"] == "missing":
            pointer, message = pointer.rpartition("/")[0], f"{each['loc'][-1]} is required"
            where = ""
        yield Problem(
            pointer=pointer, code=INVALID, message=f"{where}{message}",
            suggestion=_suggested(str(each["type"]), each.get("ctx") or {}),
        )  # fmt: skip


def _suggested(kind: str, context: Mapping[str, object]) -> str:
    expected = context.get("expected")
    if kind in ("enum", "literal_error") and expected:
        return f"write {expected}"
    if kind == "string_pattern_mismatch":
        return "lower-case letters, digits, - and _, as in my-agent"
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt"}
    if kind in bounds:
        word = "at most" if kind == "less_than_equal" else "at least"
        return f"{word} {context.get(bounds[kind])}"
    return ""


# --- fields -------------------------------------------------------------------------------------


def _unknown(value: JsonObject) -> Iterator[Problem]:
    yield from _fields(value, AgentManifest, "")
    limits = value.get("limits")
    if isinstance(limits, dict):
        yield from _fields(limits, AgentLimits, "/limits")
    for name, model in (("workspaces", Workspace), ("secrets", OptionalSecret)):
        items = value.get(name)
        for place, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield from _fields(item, model, f"/{name}/{place}")


def _fields(value: JsonObject, model: type[Wire], above: str) -> Iterator[Problem]:
    fields = model.model_fields.items()
    known = {name for name, _ in fields} | {field.alias for _, field in fields if field.alias}
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            yield Problem(
                pointer=f"{above}/{escape_token(name)}", code=ProblemCode.UNKNOWN_FIELD,
                message=f"{name} means nothing here", suggestion=mend,
            )  # fmt: skip


def _schemas(manifest: AgentManifest) -> Iterator[Problem]:
    for name, schema in (("input", manifest.input), ("output", manifest.output)):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            path = "".join(f"/{escape_token(str(part))}" for part in error.absolute_path)
            yield Problem(
                pointer=f"/{name}{path}", code=INVALID,
                message=f"{name} is no JSON Schema: {error.message[:300]}",
            )  # fmt: skip


def _inputs(manifest: AgentManifest) -> Iterator[Problem]:
    fields = _properties(manifest.input)
    if fields is None:
        return
    for place, workspace in enumerate(manifest.workspaces):
        for field, named in (("input", workspace.input), ("ref", workspace.ref)):
            if named is not None and named not in fields:
                yield Problem(
                    pointer=f"/workspaces/{place}/{field}", code=INVALID,
                    message=f"the input has no field {named}", suggestion=_near(named, fields),
                )  # fmt: skip


def _properties(schema: JsonObject) -> set[str] | None:
    """Name the fields of an object's schema; None: it does not say which there are."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return None
    return set(cast("Mapping[str, object]", properties))


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else f"write {name} into input.properties"


# --- the program --------------------------------------------------------------------------------


def _command(folder: Path, manifest: AgentManifest) -> Iterator[Problem]:
    command = manifest.command
    if not command:
        yield Problem(
            pointer="", code=INVALID, message="command is required",
            suggestion="command: [python, -m, my_agent]",
        )  # fmt: skip
        return
    for place, word in enumerate(command):
        if word.startswith(_INSIDE) and manifest.image is None:
            yield from _program(folder, word.removeprefix(_INSIDE), place)
    match command:
        case ("python" | "python3", "-m", module, *_) if manifest.image is None:
            yield from _module(folder, module)
        case _:
            pass


def _program(folder: Path, name: str, place: int) -> Iterator[Problem]:
    path = folder / name
    if not path.is_file():
        yield Problem(
            pointer=f"/command/{place}", code=INVALID,
            message=f"there is no file {name} in the agent's folder",
        )  # fmt: skip
    elif place == 0 and not os.access(path, os.X_OK):
        yield Problem(
            pointer=f"/command/{place}", code=INVALID, message=f"{name} is not executable",
            suggestion=f"chmod +x {path}",
        )  # fmt: skip


def _module(folder: Path, module: str) -> Iterator[Problem]:
    first, *_ = module.split(".")
    here = (folder / f"{first}.py").is_file() or (folder / first).is_dir()
    if here or find_spec(first) is not None:
        return
    near = [path.parent.name for path in folder.glob("*/__main__.py")]
    yield Problem(
        pointer="/command/2", code=INVALID,
        message=f"there is no module {first} in the agent's folder, nor in this environment",
        suggestion=f"did you mean {near[0]}?" if near else "",
    )  # fmt: skip
