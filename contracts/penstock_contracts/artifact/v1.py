"""Artifacts: payloads over 64 KiB, stored by content digest and named where they were made."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from penstock_contracts.values import Digest, JsonObject, Wire

ARTIFACTS_MAX = 200  # of one task; a result that names them all still fits an event
NAME_MAX_CHARS = 200
OUTPUT_NAME = "output.json"  # of an output that is too large to be part of a result
DEFAULT_MEDIA_TYPE = "application/octet-stream"
JSON_MEDIA_TYPE = "application/json"
_REFERENCE = "artifact:"

_SEGMENT = r"[A-Za-z0-9_@+=.-]+"
_PATH = rf"^{_SEGMENT}(/{_SEGMENT})*$"


def _plain(name: str) -> str:
    if any(part in (".", "..") for part in name.split("/")):
        raise ValueError("`.` and `..` are no parts of a name")
    return name


ArtifactName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_MAX_CHARS, pattern=_PATH),
    AfterValidator(_plain),
]


class Artifact(Wire):
    """One file that a task left.

    Attributes:
        name: its path below `/penstock/artifacts`, `/` between the parts.
        size: bytes.
    """

    name: ArtifactName
    digest: Digest
    size: int = Field(ge=0)
    media_type: str = Field(default=DEFAULT_MEDIA_TYPE, max_length=128)

    @property
    def reference(self) -> str:
        """What stands for it in an input; the executor puts the path of the file there."""
        return f"{_REFERENCE}{self.digest}"


class TaskArtifact(Wire):
    """An artifact that a task is given: one of an earlier node of its run."""

    node: str
    artifact: Artifact


def output_of(artifact: Artifact) -> JsonObject:
    """Give the output that stands for one that became an artifact."""
    return {
        "artifact": artifact.reference,
        "name": artifact.name,
        "size": artifact.size,
        "media_type": artifact.media_type,
    }
