"""Updates of a package's version in every manifest that declares it."""

import re
from pathlib import PurePosixPath

from penstock_agent_patcher.clone import Clone
from penstock_agent_patcher.conflicts import Obstacle, Refused, Unfit
from penstock_agent_patcher.models import DependencyUpdate
from penstock_agent_patcher.package_json import update_package_json
from penstock_agent_patcher.pyproject import update_pyproject
from penstock_agent_patcher.requirements import Edited, update_requirements
from penstock_agent_patcher.text import decoded, encoded
from penstock_agent_sdk import AgentError
from penstock_agent_sdk.globs import matcher

_VENDORED = frozenset({"node_modules", "site-packages", ".venv", "vendor"})
# By ecosystem: what is made from the manifests, and how it is made again.
_LOCKS = {
    "poetry.lock": "poetry lock",
    "uv.lock": "uv lock",
    "pdm.lock": "pdm lock",
    "package-lock.json": "npm install --package-lock-only",
    "npm-shrinkwrap.json": "npm install --package-lock-only",
    "yarn.lock": "yarn install",
    "pnpm-lock.yaml": "pnpm install --lockfile-only",
}
_PYTHON_LOCKS = frozenset({"poetry.lock", "uv.lock", "pdm.lock"})


def manifest_kind(path: str) -> str | None:
    """`pyproject`, `requirements` or `npm`; None for a file that declares no dependencies."""
    name = PurePosixPath(path)
    if name.name == "pyproject.toml":
        return "pyproject"
    if name.name == "package.json":
        return "npm"
    if name.suffix in (".txt", ".in") and (
        re.search(r"requirements|constraints", name.name) or name.parent.name == "requirements"
    ):
        return "requirements"
    return None


def update_dependency(clone: Clone, task: DependencyUpdate) -> list[str]:
    """Update every declaration; the notes name lock files that are out of date afterwards.

    Raises:
        AgentError: `invalid_operation`: a pattern of `files` is malformed.
        Refused: Declared nowhere, or a declaration that cannot be updated.
    """
    parts = re.split(r"[-_.]+", task.name)
    mentioned = re.compile("[-_.]+".join(map(re.escape, parts)), re.IGNORECASE)
    found = 0
    changed: dict[str, bytes] = {}
    obstacles: list[Obstacle] = []
    for path, before in clone.read_all(_manifests(clone, task)):
        try:
            text, form = decoded(before or b"")
            if not mentioned.search(text):
                continue  # A broken manifest elsewhere is no obstacle.
            edited = _edited(path, text, task)
        except Unfit as error:
            obstacles.append(Obstacle(path, str(error)))
            continue
        found += edited.found
        if edited.text != text:
            changed[path] = encoded(edited.text, form)
    if obstacles:
        raise Refused(*obstacles)
    if not found:
        raise Refused(Obstacle("", f"{task.name} is declared in no manifest that was looked at"))
    for path, after in changed.items():
        clone.write(path, after)
    if not changed:
        return [f"{task.name} is declared as wanted already"]
    return _stale_locks(clone, changed)


def _manifests(clone: Clone, task: DependencyUpdate) -> list[str]:
    try:
        wanted = matcher(task.files or ("**",))
    except re.error as error:
        raise AgentError("invalid_operation", f"files: {error}") from error
    found: list[str] = []
    for path, entry in sorted(clone.files.items()):
        kind = manifest_kind(path)
        ecosystem = "npm" if kind == "npm" else "python"
        if kind is None or not entry.regular or not wanted(path):
            continue
        if task.ecosystem in (None, ecosystem) and not _VENDORED & set(PurePosixPath(path).parts):
            found.append(path)
    return found


def _edited(path: str, text: str, task: DependencyUpdate) -> Edited:
    match manifest_kind(path):
        case "pyproject":
            return update_pyproject(text, task.name, task.version)
        case "npm":
            return update_package_json(text, task.name, task.version)
        case _:
            return update_requirements(text, task.name, task.version, task.hashes)


def _stale_locks(clone: Clone, changed: dict[str, bytes]) -> list[str]:
    notes: list[str] = []
    for path in changed:
        kind = manifest_kind(path)
        if kind == "requirements":
            continue
        for name, command in _LOCKS.items():
            lock = str(PurePosixPath(path).with_name(name))
            if lock in clone.files and (name in _PYTHON_LOCKS) == (kind == "pyproject"):
                notes.append(f"{lock} is not updated, that needs the network: run `{command}`")
    return notes
