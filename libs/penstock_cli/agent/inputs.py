"""What an agent is asked: which agent, its input from several places, its folders, its secrets."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from penstock_adapters.bundles import default_roots, discover, read_bundle
from penstock_adapters.secrets import (
    EnvFileSecrets,
    EnvironmentSecrets,
    FirstOf,
    FolderSecrets,
)
from penstock_adapters.yaml import DocumentError, read_document
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.trigger import value_of
from penstock_contracts.agent.v1 import AgentManifest, Network, Workspace
from penstock_contracts.values import JsonObject
from penstock_runtime.bundles import MANIFEST_NAME, Bundle, BundleFault
from penstock_runtime.ports.sandbox import EgressRule
from penstock_runtime.ports.secrets import Secrets

ROOTS_VARIABLE = "PENSTOCK_AGENT_ROOTS"
FOLDER_VARIABLE, FILE_VARIABLE = "PENSTOCK_SECRETS_DIR", "PENSTOCK_SECRETS_ENV_FILE"
REPOSITORY = "repository_path"
STDIN = "-"
MAX_PORT = 65_535
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def find_agent(name: str, environ: Mapping[str, str] = os.environ) -> Bundle:
    """Give the agent of a folder, or the one of that name among those at hand.

    Raises:
        CliFault: there is none, or its folder cannot be used.
    """
    folder = Path(name)
    if (folder / MANIFEST_NAME).is_file():
        return read_folder(folder)
    given = environ.get(ROOTS_VARIABLE, "")
    roots = [Path(part).expanduser() for part in given.split(os.pathsep) if part]
    found = discover(roots or default_roots()).bundles
    if name in found:
        return found[name]
    if folder.is_dir() or os.sep in name:
        mend = "name a folder with an agent.yaml; `penstock agent new` makes one"
        raise CliFault(f"there is no {MANIFEST_NAME} in {name}", mend, ExitCode.NOT_FOUND)
    near = difflib.get_close_matches(name, found, 1)
    mend = f"did you mean {near[0]}?" if near else f"here are: {', '.join(sorted(found)) or 'none'}"
    raise CliFault(f"there is no agent {name}", mend, ExitCode.NOT_FOUND)


def read_folder(folder: Path) -> Bundle:
    """Read the agent of a folder.

    Raises:
        CliFault: naming file, line and column.
    """
    try:
        return read_bundle(folder)
    except BundleFault as fault:
        raise CliFault(str(fault), f"`penstock agent validate {folder}` says all") from None


def read_input(given: Sequence[str]) -> JsonObject:
    """Put an input together; what comes later wins.

    Args:
        given: each `key=value` (JSON, else text), a YAML or JSON file, or `-` for standard input.

    Raises:
        CliFault: one cannot be read, or is no object.
    """
    found: JsonObject = {}
    for item in given:
        pair = _PAIR.fullmatch(item)
        if pair is not None:
            found[pair[1]] = value_of(pair[2])
        elif item == STDIN:
            found |= _parsed(sys.stdin.read(), "standard input")
        else:
            found |= _file(Path(item))
    return found


def _file(path: Path) -> JsonObject:
    try:
        return dict(read_document(path.read_text(encoding="utf-8"), str(path)).value)
    except DocumentError as error:
        raise CliFault(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        mend = "--input takes name=value, a file, or -"
        raise CliFault(f"{path} cannot be read: {error}", mend, ExitCode.NOT_FOUND) from None


def _parsed(text: str, name: str) -> JsonObject:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise CliFault(f"{name} is not JSON: {error}", "", ExitCode.USAGE) from None
    if not isinstance(value, dict):
        raise CliFault(f"{name} is no JSON object", "", ExitCode.USAGE)
    return cast("JsonObject", value)


# --- folders ------------------------------------------------------------------------------------


def with_folders(
    given: JsonObject, manifest: AgentManifest, repository: Path | None, base: Path
) -> JsonObject:
    """Give the input with `repository` in it and every workspace as an absolute path.

    Args:
        given: the input.
        manifest: says which of its fields are folders.
        repository: for the field `repository_path`, or the only workspace; None: as given.
        base: what relative paths start from.

    Raises:
        CliFault: the agent takes no folder, or one that it needs is missing.
    """
    filled = dict(given)
    if repository is not None:
        filled[_main(manifest).input] = str(repository)
    for workspace in manifest.workspaces:
        name = field_of(workspace.input, filled)
        if name is None:
            if workspace.optional:
                continue
            mend = f"--repository DIR, or --input {workspace.input}=DIR"
            raise CliFault(f"{manifest.name} needs a folder: {workspace.input}", mend)
        path = filled[name]
        if isinstance(path, str):
            filled[name] = str((base / Path(path).expanduser()).resolve())
    return filled


def folders_of(given: JsonObject, manifest: AgentManifest) -> tuple[Path, ...]:
    """Give the folders that an input names."""
    names = (field_of(workspace.input, given) for workspace in manifest.workspaces)
    return tuple(Path(str(given[name])) for name in names if name is not None)


def field_of(name: str, given: JsonObject) -> str | None:
    """Find a field by its snake_case name or its camelCase alias."""
    head, *tail = name.split("_")
    alias = head + "".join(part.capitalize() for part in tail)
    return next((each for each in (name, alias) if given.get(each) is not None), None)


def _main(manifest: AgentManifest) -> Workspace:
    if not manifest.workspaces:
        mend = "its manifest names no `workspaces`"
        raise CliFault(f"{manifest.name} takes no folder", mend, ExitCode.USAGE)
    named = [each for each in manifest.workspaces if each.input == REPOSITORY]
    return (named or list(manifest.workspaces))[0]


# --- secrets and network ------------------------------------------------------------------------


def secrets_from(environ: Mapping[str, str], given: Path | None = None) -> Secrets:
    """Give the sources that an executor has; an agent is given only what its manifest names.

    Args:
        environ: its variables `PENSTOCK_SECRET_<NAME>`, asked first, and where the others are.
        given: a folder with one file a secret, or a file of `NAME=value` lines.
    """
    places = [given, *(_place(environ, name) for name in (FOLDER_VARIABLE, FILE_VARIABLE))]
    named = (place for place in places if place is not None)
    files = (FolderSecrets(place) if place.is_dir() else EnvFileSecrets(place) for place in named)
    return FirstOf([EnvironmentSecrets(environ), *files])


def _place(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None


def egress_from(allowed: Sequence[str], manifest: AgentManifest) -> tuple[EgressRule, ...]:
    """Read `host:port` rules.

    Raises:
        CliFault: one is malformed, or the agent has no network.
    """
    if allowed and manifest.network is not Network.EGRESS:
        mend = "write `network: egress` in its manifest if it needs one"
        raise CliFault(f"{manifest.name} has no network", mend, ExitCode.USAGE)
    return tuple(_rule(text) for text in allowed)


def _rule(text: str) -> EgressRule:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise CliFault(f"--allow-egress {text!r} is not host:port", "", ExitCode.USAGE)
    return EgressRule(host.removeprefix("[").removesuffix("]"), int(port))
