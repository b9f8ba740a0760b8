"""Images: the file system an agent's command runs in, and which of them an executor accepts.

A manifest names one in one of three forms:

- `[docker://]registry[:port]/path/name[:tag][@digest]`: an image in a registry, by the grammar of
  Docker and the OCI distribution specification. What names no registry is meant to be on
  `docker.io`, and there a single word below `library/`, as everywhere.
- `oci-archive:path[:tag]`: an OCI layout in a tarball inside the agent's folder.
- `rootfs:path`: a folder inside the agent's folder.

Two deviations from Docker, both towards refusing: a first component in capitals without a dot or
a port is no host, and digests are lower-case `sha256` or `sha512`, as the OCI image specification
wants them. Refusals never repeat the text: it may hold a password.
"""

import ipaddress
import re
from dataclasses import dataclass

MAX_IMAGE_CHARS = 1_024
MAX_NAME_CHARS = 255  # of registry and path together, once complete
MAX_PORT = 65_535
DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"  # what a registry gives where neither tag nor digest is named
REGISTRIES_SETTING = "PENSTOCK_IMAGE_REGISTRIES"
DIGESTS_SETTING = "PENSTOCK_IMAGE_DIGESTS"
LOCAL_SETTING = "PENSTOCK_IMAGE_LOCAL"

_LEGACY_REGISTRY = "index.docker.io"  # an older name of the default one
_OFFICIAL = "library/"
_ARCHIVE, _ROOTFS, _DOCKER = "oci-archive:", "rootfs:", "docker://"
_OTHER_KINDS = re.compile(  # but `dir:5000/...` is a registry's host and port
    r"(?:docker-archive|docker-daemon|containers-storage|oci|dir|file|ostree|tarball|sif):"
    r"(?![0-9]{1,5}/)"
)
_OURS = frozenset({"oci-archive", "rootfs"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?")
_PORT = re.compile(r"[0-9]{1,5}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_DIGEST_CHARS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
_PRINTABLE = re.compile(r"[!-~]+")


class ImageFault(ValueError):
    """A text that names no image; the message says what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image in a registry, its name complete. `str` gives what a registry client takes.

    Attributes:
        registry: host in lower case, with its port where one is named.
        path: below the registry; on `docker.io` with its namespace.
        digest: `sha256:<hex>` or `sha512:<hex>`; decides where a tag stands beside it.
    """

    registry: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and path."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        """Give the complete reference, which reads as the same image."""
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class OciArchive:
    """An OCI layout in a tarball; `path` is relative to the agent's folder, in POSIX form.

    Attributes:
        tag: which image of the layout, where it holds several.
    """

    path: str
    tag: str | None = None

    def __str__(self) -> str:
        """Give the form that reads as the same image."""
        return f"{_ARCHIVE}{self.path}" + ("" if self.tag is None else f":{self.tag}")


@dataclass(frozen=True, slots=True)
class RootFileSystem:
    """A folder that becomes `/`; `path` is relative to the agent's folder, in POSIX form."""

    path: str

    def __str__(self) -> str:
        """Give the form that reads as the same image."""
        return f"{_ROOTFS}{self.path}"


ImageReference = RegistryImage | OciArchive | RootFileSystem


def read_image(text: str) -> ImageReference:
    """Read what a manifest names as its image.

    Raises:
        ImageFault: it names none.
    """
    _check_characters(text)
    if text.startswith(_ARCHIVE):
        path, colon, tag = text.removeprefix(_ARCHIVE).partition(":")
        return OciArchive(_local_path(path, _ARCHIVE), _tag(tag) if colon else None)
    if text.startswith(_ROOTFS):
        return RootFileSystem(_local_path(text.removeprefix(_ROOTFS), _ROOTFS))
    bare = text.removeprefix(_DOCKER)
    if _SCHEME.match(bare) is not None:
        raise ImageFault(
            "begins with a scheme that names no image: write `registry/path/name@sha256:...`, "
            "with `docker://` before it or without"
        )
    if not text.startswith(_DOCKER) and _OTHER_KINDS.match(text) is not None:
        raise ImageFault(
            "begins with a kind of image that is not read here: write a registry's reference, "
            "`oci-archive:<tarball>` or `rootfs:<folder>`"
        )
    return _registry_image(bare)


def _check_characters(text: str) -> None:
    if not text:
        raise ImageFault("nothing is named: leave it out, or name an image")
    if len(text) > MAX_IMAGE_CHARS:
        raise ImageFault(f"over {MAX_IMAGE_CHARS} characters long: no image's name is")
    if _PRINTABLE.fullmatch(text) is None:
        if any(char.isspace() for char in text):
            raise ImageFault("holds white space: write the reference alone, in one piece")
        if not text.isascii():
            raise ImageFault(
                "holds a character outside ASCII, which may look like another: write plain letters"
            )
        raise ImageFault("holds a control character: write visible characters only")
    if "\\" in text:
        raise ImageFault("holds a backslash: separate the parts of a path by `/`")


def _local_path(path: str, kind: str) -> str:
    if not path:
        raise ImageFault(f"`{kind}` names no path: write one inside the agent's folder")
    if path.startswith("/"):
        raise ImageFault(f"the path after `{kind}` is relative to the agent's folder, without `/`")
    if ":" in path:
        raise ImageFault(f"the path after `{kind}` holds a colon: rename what it names")
    parts = path.split("/")
    if ".." in parts:
        raise ImageFault(f"the path after `{kind}` leads upwards by `..`: keep it in the folder")
    if "" in parts or "." in parts:
        raise ImageFault(f"the path after `{kind}` has an empty part or `.`: write it without")
    return path


def _registry_image(text: str) -> RegistryImage:
    if _IDENTIFIER.fullmatch(text) is not None:
        raise ImageFault("64 hexadecimal digits alone name no image: write `name@sha256:<digits>`")
    named, at, digest = text.partition("@")
    if at:
        _check_digest(digest)
    before, slash, last = named.rpartition("/")
    last, colon, tag = last.partition(":")
    registry, path = _split(f"{before}{slash}{last}")
    _check_path(path)
    if len(registry) + 1 + len(path) > MAX_NAME_CHARS:
        raise ImageFault(f"the name, registry included, is over {MAX_NAME_CHARS} characters long")
    return RegistryImage(registry, path, _tag(tag) if colon else None, digest if at else None)


def _split(name: str) -> tuple[str, str]:
    """Tell the registry from the path, as Docker does; a name alone is on `docker.io`."""
    first, slash, rest = name.partition("/")
    if slash and first != first.lower() and not _names_host(first):
        raise ImageFault("the path is lower case: write it so, or name its registry before it")
    if not slash or not _names_host(first):
        registry, path = DEFAULT_REGISTRY, name
    else:
        registry, path = _host(first), rest
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = _OFFICIAL + path
    return registry, path


def _names_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost"


def _host(text: str) -> str:
    """Give the registry as it is compared: host in lower case, a port as a plain number."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed is not None:
        try:
            host = f"[{ipaddress.IPv6Address(bracketed[1]).compressed}]"
        except ValueError:
            raise ImageFault("the registry's address in brackets is no IPv6 address") from None
        return host if bracketed[2] is None else f"{host}:{_port(bracketed[2])}"
    host, colon, port = text.partition(":")
    if _DOMAIN.fullmatch(host) is None:
        raise ImageFault("the registry is no host: letters, digits and hyphens, parted by dots")
    if host.lower() in _OURS:
        raise ImageFault("a registry of that name would be taken for a path: give its whole name")
    registry = host.lower() + (f":{_port(port)}" if colon else "")
    return DEFAULT_REGISTRY if registry == _LEGACY_REGISTRY else registry


def _port(text: str) -> int:
    if _PORT.fullmatch(text) is None or not 0 < int(text) <= MAX_PORT:
        raise ImageFault(f"the registry's port is a number from 1 to {MAX_PORT}")
    return int(text)


def _check_path(path: str) -> None:
    for part in path.split("/"):
        if not part:
            raise ImageFault("the path has an empty part: one `/` between parts, none at its ends")
        if part != part.lower():
            raise ImageFault("the path has capitals: it is lower case, only a tag may have them")
        if _COMPONENT.fullmatch(part) is None:
            raise ImageFault(
                "a part of the path is none: lower-case letters and digits, joined by "
                "`.`, `_`, `__` or hyphens, with none of these at its ends"
            )


def _tag(text: str) -> str:
    if not text:
        raise ImageFault("the tag after `:` is empty: write one, or leave the colon out")
    if _TAG.fullmatch(text) is None:
        raise ImageFault(
            "the tag is none: at most 128 letters, digits, `_`, `.` and `-`, "
            "the first of them neither `.` nor `-`"
        )
    return text


def _check_digest(text: str) -> None:
    algorithm, _, digits = text.partition(":")
    if "@" in text:
        raise ImageFault("has more than one `@`: write one digest, and no credentials")
    if "/" in text:
        raise ImageFault(
            "holds a name or password before `@`: keep credentials out of the manifest, the "
            "executor's engine knows how to log in"
        )
    if not text:
        raise ImageFault("the digest after `@` is empty: write `sha256:<64 digits>`")
    if algorithm not in _DIGEST_CHARS:
        raise ImageFault("the digest's algorithm is `sha256` or `sha512`, in lower case")
    wanted = _DIGEST_CHARS[algorithm]
    if len(digits) != wanted or _HEX.fullmatch(digits) is None:
        raise ImageFault(f"a {algorithm} digest is {wanted} lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Which images an executor accepts; by default those only that came with the agent.

    Attributes:
        registries: what images may come from, each as `read_registry` gives it.
        require_digest: a tag is not enough: whoever may push could change what it names.
        local: images in the agent's own folder, which the agent's digest covers.
    """

    registries: tuple[str, ...] = ()
    require_digest: bool = True
    local: bool = True

    def refusal(self, reference: ImageReference) -> str | None:
        """Say why an image is not accepted and what would allow it; None if it is."""
        if not isinstance(reference, RegistryImage):
            if self.local:
                return None
            return f"images in the agent's folder are not accepted here; {LOCAL_SETTING}=1 does"
        if not any(_within(reference.name, allowed) for allowed in self.registries):
            known = ", ".join(self.registries) or "none"
            return (
                f"no image is accepted from {reference.name}; {REGISTRIES_SETTING} of the "
                f"executor names where images may come from (now: {known})"
            )
        return None if reference.digest is not None else self._undigested(reference)

    def _undigested(self, reference: RegistryImage) -> str | None:
        if self.require_digest:
            return (
                f"{reference} names no digest; write `{reference.name}@sha256:...`, or accept "
                f"tags by {DIGESTS_SETTING}=allow-tags of the executor"
            )
        if reference.tag in (None, DEFAULT_TAG):
            return (
                f"{reference.name} without a version is another image after each push; write a "
                f"tag other than `{DEFAULT_TAG}`, or a digest ({DIGESTS_SETTING}=allow-tags "
                "accepts tags that name a version)"
            )
        return None


def read_registry(text: str) -> str:
    """Read where images may come from: `host[:port]`, or `host[:port]/path` and all below it.

    Raises:
        ImageFault: it is neither.
    """
    _check_characters(text)
    if "*" in text:
        raise ImageFault("there are no wildcards: name each registry, or a path and all below it")
    if "://" in text or "@" in text:
        raise ImageFault("is a host, or a host and a path, without scheme, digest or credentials")
    first, slash, path = text.partition("/")
    if not _names_host(first):
        raise ImageFault("names no host: write `docker.io/<name>` for what is on Docker Hub")
    if slash:
        _check_path(path)
    return f"{_host(first)}{slash}{path}"


def _within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}/")
