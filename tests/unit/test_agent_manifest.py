"""What a manifest may say together with an image, and with `memoise`."""

from typing import Any

import pytest
from pydantic import ValidationError

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.envelope import first_fault
from penstock_core.workflow.plan import manifest_digest

READER: dict[str, Any] = {"name": "probe", "workspaces": [{"input": "path", "mode": "ro"}]}


def fault(**said: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        _ = AgentManifest.model_validate({**READER, **said})
    return first_fault(caught.value)


def test_without_an_image_nothing_changes() -> None:
    manifest = AgentManifest.model_validate(READER)

    assert (manifest.image, manifest.memoise) == (None, False)
    assert not {"image", "memoise"} & set(manifest.to_data())
    # As it was before manifests could name an image: a digest once registered stays.
    assert manifest_digest(AgentManifest(name="probe")) == (
        "sha256:0aa7d6797e769f8a98ac392a98437a0523e7714fada529b0e8ae702d368be832"
    )


def test_the_image_is_kept_as_it_was_written() -> None:
    manifest = AgentManifest.model_validate({**READER, "image": "alpine:3"})

    assert manifest.image == "alpine:3"
    assert AgentManifest.model_validate(manifest.to_data()) == manifest


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("", "image: nothing is named"),
        ("Alpine", "image: the path has capitals"),
        ("https://ghcr.io/x", "image: begins with a scheme"),
        ("rootfs:/", "image: the path after `rootfs:` is relative"),
        ("x" * 2_000, "image: String should have at most 1024"),
        (7, "image: Input should be a valid string"),
    ],
)
def test_another_image_is_refused(image: object, said: str) -> None:
    assert fault(image=image).startswith(said)


def test_a_password_does_not_come_back() -> None:
    assert "hunter2" not in fault(image="user:hunter2@ghcr.io/acme/x")


@pytest.mark.parametrize("said", [{}, {"risk": "AUTO", "effect": "repeatable", "network": "none"}])
def test_an_agent_that_only_reads_may_be_memoised(said: dict[str, Any]) -> None:
    assert AgentManifest.model_validate({**READER, **said, "memoise": True}).memoise


@pytest.mark.parametrize(
    ("said", "needs"),
    [
        ({"risk": "APPROVAL_REQUIRED"}, "`risk: AUTO`"),
        ({"risk": "APPROVAL_REQUIRED", "effect": "repeatable"}, "`risk: AUTO`"),
        ({"risk": "APPROVAL_REQUIRED", "phases": ["plan", "apply"]}, "take `memoise` out"),
        ({"effect": "once"}, "`effect: repeatable`"),
        ({"network": "egress"}, "`network: none`"),
        ({"secrets": ["token"]}, "`secrets: []`"),
        ({"workspaces": [{"input": "path", "mode": "rw"}]}, "`mode: ro`"),
        ({"workspaces": [{"input": "path", "mode": "git"}]}, "`mode: ro`"),
        ({"workspaces": [{"input": "a"}, {"input": "b", "mode": "rw"}]}, "`mode: ro`"),
    ],
)
def test_another_agent_may_not(said: dict[str, Any], needs: str) -> None:
    _ = AgentManifest.model_validate({**READER, **said})

    message = fault(**said, memoise=True)

    assert message.startswith("memoise: ")
    assert needs in message


def test_what_is_wrong_elsewhere_is_told_as_before() -> None:
    assert fault(memoise=True, network="all").startswith("network: ")
