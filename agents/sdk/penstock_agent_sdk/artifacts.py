"""Files a task leaves behind, besides its output."""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from penstock_agent_sdk.errors import AgentError

ENV_ARTIFACTS = "PENSTOCK_ARTIFACTS"
MAX_NAME_CHARS = 200
# What the executor takes; another name would cost the task its artifacts in the end.
_NAME = re.compile(r"[A-Za-z0-9_@+=.-]+(?:/[A-Za-z0-9_@+=.-]+)*")


def artifacts_folder(environment: Mapping[str, str] | None = None) -> Path | None:
    """Give the folder whose files become artifacts of the task; None where none are taken.

    Large files are written there directly, in pieces.
    """
    settings = os.environ if environment is None else environment
    named = settings.get(ENV_ARTIFACTS)
    return Path(named) if named else None


def write_artifact(
    name: str, content: bytes | str, environment: Mapping[str, str] | None = None
) -> bool:
    """Leave a file behind.

    Args:
        name: Relative, with slashes; letters, digits and `_ @ + = . -`. Folders are made.
        content: Text is written as UTF-8.
        environment: Names the folder; the process' own by default.

    Returns:
        False where no artifacts are taken, and nothing was written.

    Raises:
        AgentError: `bad_artifact_name` if the name leads out of the folder.
        OSError: It cannot be written, for lack of space for instance.
    """
    relative = PurePosixPath(name)
    if len(name) > MAX_NAME_CHARS or _NAME.fullmatch(name) is None or ".." in relative.parts:
        raise AgentError(
            "bad_artifact_name",
            f"an artifact cannot be called {name[:100]!r}: use letters, digits and _ @ + = . - "
            f"in folders, at most {MAX_NAME_CHARS} in all",
        )
    folder = artifacts_folder(environment)
    if folder is None:
        return False
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return True
