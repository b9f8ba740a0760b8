"""Configuration keys: set, created or deleted, with everything else left as it is."""

from collections.abc import Callable
from pathlib import PurePosixPath

from penstock_agent_patcher.clone import Clone
from penstock_agent_patcher.conflicts import Obstacle, Refused, Unfit
from penstock_agent_patcher.models import ConfigChange
from penstock_agent_patcher.text import decoded, encoded


def change_config(clone: Clone, task: ConfigChange) -> list[str]:
    """Change one key of one file; a note says when it is so already.

    Raises:
        Refused: No such file, no format this agent edits, or the key is not as it has to be.
    """
    entry = clone.files.get(task.file)
    if entry is None or not entry.regular:
        raise Refused(Obstacle(task.file, "there is no such file"))
    try:
        before = clone.read(task.file)
        text, form = decoded(before)
        after = encoded(_editor(task.file)(text, task), form)
    except Unfit as error:
        raise Refused(Obstacle(task.file, str(error))) from error
    if after == before:
        return [f"{task.file}: {task.label} is as wanted already"]
    clone.write(task.file, after)
    return []


def _editor(path: str) -> Callable[[str, ConfigChange], str]:
    """The editor for a file's format; each is imported when it is needed, for start-up time."""
    match PurePosixPath(path).suffix.lower():
        case ".json":
            from penstock_agent_patcher.json_config import change_json  # noqa: PLC0415

            return change_json
        case ".toml":
            from penstock_agent_patcher.toml_config import change_toml  # noqa: PLC0415

            return change_toml
        case ".yaml" | ".yml":
            from penstock_agent_patcher.yaml_config import change_yaml  # noqa: PLC0415

            return change_yaml
        case _:
            raise Unfit("only .yaml, .yml, .toml and .json files are edited by key")
