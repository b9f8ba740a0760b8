"""The image and the Compose stack, in real containers: what runs, by what rights, how it ends.

Where no container engine answers, everything here is skipped; what can be said of the files alone
is in tests/architecture/test_compose.py.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_testkit.containers import (
    SERVICES,
    ComposeProject,
    ComposeStack,
    built_image,
    image_config,
    image_history,
    in_image,
    skip_without_engine,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

ROOT = Path(__file__).resolve().parents[2]
STARTED = (*SERVICES, "nats", "postgres")
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    skip_without_engine()
    with built_image(ROOT) as name:
        yield name


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    with ComposeProject.started(ROOT, tmp_path_factory.mktemp("compose"), image) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stack(project: ComposeProject) -> AsyncGenerator[ComposeStack]:
    stack = ComposeStack(project)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


async def ran(stack: ComposeStack, name: str) -> str:
    """Run a node in each pool, one after the other; gives how the run ended."""
    nodes = {
        "first": {"agent": "noop", "pool": "default"},
        "second": {"agent": "noop", "pool": "egress", "needs": ["first"]},
    }
    await stack.apply(name, nodes)
    shown = await stack.ended(await stack.trigger(name))
    ended: str = shown["run"]["status"]
    return ended


def test_the_image_says_how_it_runs(image: str):
    config = image_config(image)
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["tini", "--", "penstock"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][-2:] == ["penstock_cli.probe", "live"]
    assert in_image(image, "id", "-u").strip() == "10001"
    assert in_image(image, "penstock", "--version").startswith("penstock ")


def test_the_image_holds_no_tools_and_no_traces_of_its_making(image: str):
    told = " ".join([image_history(image), *image_config(image)["Env"]])
    assert not re.search(r"PIP_|password=|token=|secret=", told, re.IGNORECASE)
    found = in_image(
        image, "sh", "-c",
        "ls -d /src /dist /opt/build /opt/penstock/bin/pip 2>/dev/null;"
        "find / -xdev '(' -name .env -o -name '*.token' -o -name secrets.json ')' 2>/dev/null;"
        "find /opt /credentials -xdev -type f -perm -0002; true",
    )  # fmt: skip
    assert found == ""


def test_everything_is_well_and_nothing_has_more_rights(project: ComposeProject):
    containers = project.containers()
    assert set(STARTED) <= set(containers)
    for name, container in containers.items():
        host, state = container["HostConfig"], container["State"]
        if name in STARTED:
            assert state["Health"]["Status"] == "healthy", name
        else:
            assert (state["Status"], state["ExitCode"]) == ("exited", 0), name
        assert host["ReadonlyRootfs"], name
        assert not host["Privileged"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert not container["Config"]["User"].startswith("0"), name
    assert {name for name, one in containers.items() if one["HostConfig"]["PortBindings"]} == {
        "webhook-gateway"
    }


def test_no_process_holds_a_secret_in_its_environment(project: ComposeProject):
    folders = {name: project.inside(name, "sh", "-c", "cat /run/penstock/*") for name in SERVICES}
    told = [
        project.inside(name, "sh", "-c", "cat /proc/*/environ | tr '\\0' '\\n'")
        for name in SERVICES
    ]
    secrets = {line for text in folders.values() for line in text.split() if len(line) > 20}
    assert len(secrets) >= len(SERVICES)
    assert not [line for line in secrets if line in "".join(told)]


def test_a_process_reaches_what_it_needs_and_no_more(project: ComposeProject):
    def reaches(service: str, host: str, port: int) -> bool:
        try:
            project.inside(service, "python", "-c", CONNECT, host, str(port))
        except subprocess.CalledProcessError:
            return False
        return True

    assert reaches("scheduler", "nats", 4222)
    assert reaches("scheduler", "postgres", 5432)
    assert reaches("executor", "nats", 4222)
    assert not reaches("executor", "postgres", 5432)
    assert not reaches("nats", "postgres", 5432)
    assert not reaches("executor", "198.51.100.1", 443)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_passes_through_both_pools(stack: ComposeStack):
    assert await ran(stack, "both-pools") == "succeeded"


@pytest.mark.asyncio(loop_scope="module")
async def test_alertmanager_is_given_a_token_once(stack: ComposeStack):
    project = stack.project
    for _ in range(2):
        await asyncio.to_thread(project.compose, "run", "--rm", "-T", "enroll")
    listed = await asyncio.to_thread(project.cli, "--json", "tokens", "list")
    assert listed.count('"alertmanager"') == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_new_passwords_are_taken_by_all_at_the_next_start(stack: ComposeStack):
    project = stack.project
    before = project.inside("scheduler", "cat", "/run/penstock/nats-password")
    line = ("prepare", "--hand-out", "/credentials", "--pool", "default", "--pool", "egress")
    await asyncio.to_thread(project.compose, "run", "--rm", "-T", "prepare", *line, "--renew")
    anew = ("--force-recreate", "--always-recreate-deps")  # the servers, too
    up = ("up", "--wait", "--wait-timeout", "180", *anew, *SERVICES)
    await asyncio.to_thread(project.compose, *up)
    assert project.inside("scheduler", "cat", "/run/penstock/nats-password") != before
    renewed = ComposeStack(project)
    try:
        await renewed.start()
        assert await ran(renewed, "renewed") == "succeeded"
    finally:
        await renewed.stop()


def test_a_stop_is_heard_and_ends_well(project: ComposeProject):
    project.compose("stop", *SERVICES)
    for name in SERVICES:
        state = project.containers()[name]["State"]
        assert state["ExitCode"] == 0, name
        assert not state["OOMKilled"], name
