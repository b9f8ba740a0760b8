"""What an agent left in its folder for artifacts: looked at, and freed of secrets, file by file.

Called in threads, once no process of the agent is left; nothing here trusts what it finds. A
secret in a text is taken out of it, by making the text again; in anything else it cannot be taken
out, and then the artifact is refused.
"""

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from penstock_contracts.artifact.v1 import (
    ARTIFACTS_MAX,
    DEFAULT_MEDIA_TYPE,
    JSON_MEDIA_TYPE,
    NAME_MAX_CHARS,
    Artifact,
    ArtifactName,
)
from penstock_executor.redaction import Redactor
from penstock_runtime.artifacts import digest_text
from penstock_runtime.ports.sandbox import ARTIFACT_ENTRIES_MAX

READ_BYTES = 1024 * 1024
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SHOWN_CHARS = 80
_NAMES: TypeAdapter[str] = TypeAdapter(ArtifactName)
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": JSON_MEDIA_TYPE,
    ".log": "text/plain",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".sarif": "application/sarif+json",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
}


class LeavingRefused(Exception):
    """What the agent left cannot be taken; one sentence for a person, free of secrets."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that will be an artifact, as it is to be sent."""

    artifact: Artifact
    path: Path


def collect(folder: Path, most_bytes: int, redact: Redactor, scratch: Path) -> list[Leaving]:
    """Give what is in the folder, by name.

    Args:
        folder: what the agent could write to.
        most_bytes: of all files together.
        redact: takes out the secrets that the agent was given.
        scratch: private folder, for texts that are made again.

    Raises:
        LeavingRefused: it has what is no plain file, too much, or a secret that stays.
    """
    files = sorted(_files(folder))
    if len(files) > ARTIFACTS_MAX:
        raise LeavingRefused(f"{len(files)} artifacts were left; {ARTIFACTS_MAX} are allowed")
    total = sum(os.lstat(path).st_size for _, path in files)
    if total > most_bytes:
        raise LeavingRefused(
            f"the artifacts have {total} bytes; {most_bytes} are allowed (`artifacts_mb`)"
        )
    return [
        _leaving(name, path, redact, scratch / str(place))
        for place, (name, path) in enumerate(files)
    ]


def media_type_of(name: str) -> str:
    """Tell by its name what a file is likely to hold; nothing is done by it but to show it."""
    return _MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), DEFAULT_MEDIA_TYPE)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    waiting, left = [folder], ARTIFACT_ENTRIES_MAX
    while waiting:
        current = waiting.pop()
        os.chmod(current, 0o700)  # noqa: PTH101 - an agent may have locked it; it is no link
        with os.scandir(current) as entries:
            for entry in islice(entries, left + 1):
                left -= 1
                if left < 0:
                    raise LeavingRefused(
                        f"over {ARTIFACT_ENTRIES_MAX} files and folders were left as artifacts"
                    )
                path = current / entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield _name(folder, path), _plain(path)


def _name(folder: Path, path: Path) -> str:
    name = str(path.relative_to(folder))
    try:
        return _NAMES.validate_python(name)
    except ValidationError:
        shown = ascii(name)[1:-1][:_SHOWN_CHARS]
        raise LeavingRefused(
            f"artifact '{shown}': a name has letters, digits and `_ @ + = . -`, folders between "
            f"slashes, and at most {NAME_MAX_CHARS} characters"
        ) from None


def _plain(path: Path) -> Path:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise LeavingRefused(f"artifact '{path.name}' is a link or no plain file")
    path.chmod(0o600)
    return path


def _leaving(name: str, path: Path, redact: Redactor, remade: Path) -> Leaving:
    if redact.finds(name):
        raise LeavingRefused("the name of an artifact holds the value of a secret")
    digest, size, found = _looked_through(path, redact)
    if found:
        _remake(name, path, redact, remade)
        path = remade
        digest, size, found = _looked_through(path, redact)
        if found:
            raise LeavingRefused(f"artifact '{name}' holds the value of a secret, which stays")
    artifact = Artifact(name=name, digest=digest, size=size, media_type=media_type_of(name))
    return Leaving(artifact, path)


def _looked_through(path: Path, redact: Redactor) -> tuple[str, int, bool]:
    """Give digest and size, and whether a secret is in it."""
    hashing, size, found, tail = hashlib.sha256(), 0, False, b""
    keep = max(redact.longest_bytes - 1, 0)
    for block in blocks(path):
        hashing.update(block)
        size += len(block)
        if keep and not found:
            found = redact.finds_form_in(tail + block)
            tail = (tail + block)[-keep:]
    return digest_text(hashing.digest()), size, found


def blocks(path: Path, size: int = READ_BYTES) -> Iterator[bytes]:
    """Give a plain file's bytes."""
    with os.fdopen(os.open(path, _OPEN), "rb", buffering=0) as file:
        while block := file.read(size):
            yield block


def _refuse_binary(text: str) -> None:
    if "\0" in text:
        raise UnicodeError


def _remake(name: str, path: Path, redact: Redactor, remade: Path) -> None:
    """Write a text again without its secrets."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    pending = ""
    try:
        with remade.open("x", encoding="utf-8", newline="") as file:
            for block in blocks(path):
                pending += decoder.decode(block)
                _refuse_binary(pending)
                done, pending = redact.split(pending, redact.longest_chars)
                file.write(done)
            pending += decoder.decode(b"", final=True)
            file.write(redact.text(pending))
    except UnicodeError:
        raise LeavingRefused(
            f"artifact '{name}' holds the value of a secret, and it is no text from which that "
            "could be taken out"
        ) from None
