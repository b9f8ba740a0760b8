"""Images: what an executor accepts, what has to be at hand, and which sandboxes have none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.inline import InlineSandbox
from penstock_adapters.process import ProcessSandbox
from penstock_contracts.agent.v1 import AgentManifest, Risk, Workspace
from penstock_contracts.codes import Code
from penstock_contracts.images import ImagePolicy
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.images import Images
from penstock_runtime.bundles import Bundle
from penstock_runtime.ports.sandbox import ExitReason, Limits, Sandbox, SandboxSpec
from penstock_testkit.fakes.clock import ManualClock
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld

PINNED = f"ghcr.io/acme/scanner:1@sha256:{'ab' * 32}"
GHCR = ImagePolicy(("ghcr.io/acme",))
LIMITS = Limits(2**28, 8, 10, 10, 2**16, 2**16, 2**20)


def with_image(image: str) -> AgentManifest:
    return PROBE.model_copy(update={"image": image})


# --- before anything else -----------------------------------------------------------------------


async def test_an_accepted_image_is_handed_to_the_sandbox_as_it_was_written() -> None:
    async with ExecutorWorld(with_image(PINNED), images=GHCR) as world:
        result = await world.result()

    assert result.error is None
    assert [spec.image for spec in world.sandbox.ran] == [PINNED]


async def test_without_an_image_the_sandbox_has_its_own() -> None:
    async with ExecutorWorld() as world:
        _ = await world.result()

    assert [spec.image for spec in world.sandbox.ran] == [None]


@pytest.mark.parametrize(
    ("image", "policy", "setting"),
    [
        (PINNED, ImagePolicy(), "PENSTOCK_IMAGE_REGISTRIES"),
        (PINNED, ImagePolicy(("ghcr.io/other",)), "PENSTOCK_IMAGE_REGISTRIES"),
        ("ghcr.io/acme/scanner:1", GHCR, "PENSTOCK_IMAGE_DIGESTS=allow-tags"),
        ("rootfs:root", ImagePolicy(local=False), "PENSTOCK_IMAGE_LOCAL=1"),
    ],
)
async def test_another_image_is_refused_and_the_setting_named(
    image: str, policy: ImagePolicy, setting: str
) -> None:
    async with ExecutorWorld(with_image(image), images=policy) as world:
        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.IMAGE_REFUSED, False)
    assert setting in result.error.message
    assert world.sandbox.ran == []


async def test_by_default_no_registry_is_accepted() -> None:
    async with ExecutorWorld(with_image(f"alpine@sha256:{'0' * 64}")) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.message == (
        "no image is accepted from docker.io/library/alpine; PENSTOCK_IMAGE_REGISTRIES of the "
        "executor names where images may come from (now: none)"
    )


async def test_the_image_is_judged_before_grant_input_folders_and_secrets() -> None:
    manifest = with_image(PINNED).model_copy(
        update={
            "risk": Risk.APPROVAL_REQUIRED,
            "input": {"type": "object", "required": ["path"]},
            "workspaces": (Workspace(input="path"),),
            "secrets": ("token",),
        }
    )
    async with ExecutorWorld(manifest) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.IMAGE_REFUSED


async def test_a_manifest_whose_image_was_never_read_is_refused_without_it() -> None:
    async with ExecutorWorld(with_image("user:hunter2@ghcr.io/acme/x"), images=GHCR) as world:
        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.IMAGE_REFUSED
    assert "credentials" in result.error.message
    assert "hunter2" not in result.error.message


# --- in the agent's folder ----------------------------------------------------------------------


def refusal(folder: Path | None, image: str) -> str | None:
    manifest = with_image(image)
    return Images(ImagePolicy()).refusal(Bundle(manifest, manifest_digest(manifest), folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "agent"
    (root / "images" / "root").mkdir(parents=True)
    (root / "images" / "image.tar").write_bytes(b"x")
    (root / "images" / "__pycache__").mkdir()
    (root / "linked").symlink_to("images")
    (root / "outside").symlink_to("/")
    return root


@pytest.mark.parametrize("image", ["rootfs:images/root", "oci-archive:images/image.tar:v1"])
def test_what_lies_in_the_folder_is_accepted(folder: Path, image: str) -> None:
    assert refusal(folder, image) is None


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("rootfs:absent", "is not in the agent's folder"),
        ("rootfs:images/root/absent", "is not in the agent's folder"),
        ("rootfs:images/image.tar/x", "is not in the agent's folder"),
        ("rootfs:images/image.tar", "is no folder"),
        ("oci-archive:images/root", "is no file"),
        ("rootfs:linked", "through a link"),
        ("rootfs:linked/root", "through a link"),
        ("oci-archive:linked/image.tar", "through a link"),
        ("rootfs:outside", "through a link"),
        ("rootfs:outside/etc", "through a link"),
        ("rootfs:images/__pycache__", "lies in a cache"),
        ("oci-archive:.git/image.tar", "lies in a cache"),
        ("oci-archive:image.pyc", "lies in a cache"),
    ],
)
def test_what_the_agents_digest_does_not_cover_is_refused(
    folder: Path, image: str, said: str
) -> None:
    refused = refusal(folder, image)

    assert refused is not None
    assert refused.startswith(f"{image} of probe ")
    assert said in refused


def test_a_built_in_agent_has_no_folder() -> None:
    refused = refusal(None, "rootfs:root")

    assert refused is not None
    assert "has no folder" in refused


# --- sandboxes without images -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("open_sandbox", "command"),
    [
        (BubblewrapSandbox, "true"),
        (lambda scratch: ProcessSandbox(scratch, allow_unsandboxed=True), "true"),
        (lambda _scratch: InlineSandbox(ManualClock()), "noop"),
    ],
    ids=["bubblewrap", "process", "inline"],
)
async def test_sandboxes_without_images_say_which_one_has_them(
    tmp_path: Path, open_sandbox: Callable[[Path], Sandbox], command: str
) -> None:
    sandbox = open_sandbox(tmp_path / "scratch")
    spec = SandboxSpec("task", tmp_path, (command,), b"{}", LIMITS, image=PINNED, memo="sha256:0")

    result = await sandbox.run(spec, lambda _line: None)
    await sandbox.close()

    assert result.reason is ExitReason.START_FAILED
    assert result.detail == (
        f"this agent needs the image {PINNED}: run it with PENSTOCK_SANDBOX=dagger"
    )
