"""The containers that tasks start from: an image, and the interpreter brought along."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock_adapters.dagger.archive import write_archive
from penstock_adapters.dagger.faults import Refused
from penstock_adapters.dagger.host_root import plan_root
from penstock_adapters.dagger.interpreter import INSIDE
from penstock_adapters.dagger.session import Session
from penstock_contracts.images import ImageFault, OciArchive, RegistryImage, read_image

if TYPE_CHECKING:
    import dagger

HOST = "host"
"""The default image's name for this machine's own interpreter and libraries."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """An OCI tarball of this machine."""

    path: Path
    tag: str | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A root file system of this machine."""

    path: Path


Image = RegistryImage | Archive | Tree | None
"""Where a container's files come from; None: what `plan_root` finds on this machine."""


def default_image(text: str) -> Image:
    """Read the setting for agents without an image.

    Args:
        text: `host`, a registry's image, `oci-archive:/path[:tag]` or `rootfs:/path`.

    Raises:
        ImageFault: It is none of these.
    """
    kind, colon, place = text.partition(":")
    if text == HOST:
        return None
    if kind == "rootfs" and colon and place.startswith("/"):
        return Tree(Path(place))
    if kind == "oci-archive" and colon and place.startswith("/"):
        path, _, tag = place.partition(":")
        return Archive(Path(path), tag or None)
    found = read_image(text)
    if not isinstance(found, RegistryImage):
        raise ImageFault(f"`{text}`: here a path is absolute, `rootfs:/path` for instance")
    return found


def image_of(text: str, bundle: Path) -> Image:
    """Read what a manifest says; its paths are inside the agent's folder.

    Raises:
        ImageFault: It is no image reference.
    """
    found = read_image(text)
    if isinstance(found, RegistryImage):
        return found
    path = (bundle / found.path).resolve()
    if not path.is_relative_to(bundle.resolve()):
        raise ImageFault(f"`{text}` leads out of the agent's folder")
    return Archive(path, found.tag) if isinstance(found, OciArchive) else Tree(path)


class Bases:
    """Containers by image, made once in each session.

    Args:
        runtime: Folder of the interpreter brought along.
        readable: Folders that agents without an image read besides.
        archive: Where an image of their files is put.
    """

    def __init__(self, runtime: Path, readable: Iterable[Path], archive: Path) -> None:
        self._runtime = runtime
        self._readable = tuple(readable)
        self._place = archive
        self._staged: Archive | None = None
        self._session: Session | None = None
        self._made: dict[Image, asyncio.Task[str]] = {}

    async def base(self, session: Session, image: Image) -> str:
        """Give the id of a container with an image's files.

        Raises:
            EngineAway: The engine does not answer.
            Refused: The image cannot be had; the message says why.
            CannotCollect: This machine's interpreter cannot be brought along.
        """
        if session is not self._session:
            self._session, self._made = session, {}
        making = self._made.get(image)
        if making is None or (making.done() and not _succeeded(making)):
            making = self._made[image] = asyncio.create_task(self._make(session, image))
            making.add_done_callback(_succeeded)  # looked at even if nobody waits any more
        return await asyncio.shield(making)

    async def _make(self, session: Session, image: Image) -> str:
        if image is None and self._staged is None:
            plan = await asyncio.to_thread(plan_root, self._readable)
            await asyncio.to_thread(write_archive, plan, self._place)
            self._staged = Archive(self._place, None)
        try:
            return await self._make_once(session, image or self._staged)
        except Refused as refusal:
            # An engine that is just clearing a lost session away may hand out what it removes.
            _log.info("image asked for again", extra={"reason": str(refusal)})
            return await self._make_once(session, image or self._staged)

    async def _make_once(self, session: Session, image: Image) -> str:
        async with session.asking(session.waits.image_s):
            client = session.api.client
            runtime = client.host().directory(str(self._runtime), no_cache=True)
            container = _filled(client, image)
            container = container.with_mounted_directory(INSIDE, runtime, read_only=True)
            container = container.with_user("0:0").with_workdir("/")
            # Evaluated here, so that a task's own time does not pay for a download.
            return str(await (await container.sync()).id())


def _filled(client: dagger.Client, image: Image) -> dagger.Container:
    match image:
        case RegistryImage():
            return client.container().from_(str(image))
        case Archive(path, tag):
            return client.container().import_(client.host().file(str(path)), tag=tag or "")
        case Tree(path):
            return client.container().with_rootfs(client.host().directory(str(path)))
        case None:
            raise AssertionError("staged before")


def _succeeded(task: asyncio.Task[str]) -> bool:
    return not task.cancelled() and task.exception() is None
