"""Whether the image that an agent names may be used here, and is at hand where it must be."""

import os
import stat
from pathlib import Path

from penstock_contracts.images import (
    ImageFault,
    ImagePolicy,
    OciArchive,
    RegistryImage,
    RootFileSystem,
    read_image,
)
from penstock_runtime.bundles import CACHE_NAMES, Bundle


class Images:
    """Decides about an agent's image, without asking any registry."""

    def __init__(self, policy: ImagePolicy) -> None:
        self._policy = policy

    def refusal(self, bundle: Bundle) -> str | None:
        """Say why the agent may not run with its image; None if it may, or names none."""
        text = bundle.manifest.image
        if text is None:
            return None
        try:
            reference = read_image(text)
        except ImageFault as fault:  # a manifest that was not read from a file
            return f"the image of {bundle.manifest.name} {fault}"
        refused = self._policy.refusal(reference)
        if refused is not None or isinstance(reference, RegistryImage):
            return refused
        fault = _fault(bundle.folder, reference)
        return None if fault is None else f"{reference} of {bundle.manifest.name} {fault}"


def _fault(folder: Path | None, reference: OciArchive | RootFileSystem) -> str | None:
    """Say what is wrong with an image that has to lie in the agent's folder, by what is there.

    Its digest is in the agent's only if it lies there itself: of a link the digest holds the
    target's name, and of caches nothing.
    """
    if folder is None:
        return "cannot be used: the agent is built in and has no folder"
    parts = reference.path.split("/")
    if any(part in CACHE_NAMES or part.endswith(".pyc") for part in parts):
        return "lies in a cache, which the agent's digest leaves out: move it elsewhere"
    path, mode = folder, 0
    for part in parts:
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return "is not in the agent's folder on this executor: put it there"
        if stat.S_ISLNK(mode):
            return "is reached through a link, which the agent's digest does not follow: copy it"
    if isinstance(reference, RootFileSystem):
        return None if stat.S_ISDIR(mode) else "is no folder: give an archive as `oci-archive:`"
    return None if stat.S_ISREG(mode) else "is no file: give a folder as `rootfs:`"
