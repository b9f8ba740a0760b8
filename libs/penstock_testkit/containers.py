"""The image and the Compose stack in real containers, where a container engine answers.

What is not at hand everywhere comes from the environment:

- `PENSTOCK_TEST_BASE_IMAGE`: what the image is built from instead of the Dockerfile's own base;
- `PENSTOCK_TEST_IMAGE`: an image that is built already;
- `NATS_IMAGE`, `POSTGRES_IMAGE`: the servers' images. Without them the servers that our own image
  brings along stand in for them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcontainers.compose import DockerCompose
from testcontainers.core.image import DockerImage

from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.inline import builtin_manifests
from penstock_testkit.stack import RunningStack

BASE_VARIABLE = "PENSTOCK_TEST_BASE_IMAGE"
IMAGE_VARIABLE = "PENSTOCK_TEST_IMAGE"
SERVER_VARIABLES = ("NATS_IMAGE", "POSTGRES_IMAGE")
DOCKERFILE = "deploy/images/Dockerfile"
COMPOSE_FILE = "deploy/compose/compose.yaml"
OVERRIDE, SETTINGS = "override.json", "settings.env"
ASK_S = 20
COMMAND_S = 240
PIP_ARGUMENTS = ("PIP_INDEX_URL",)
SERVICES = ("scheduler", "approval", "webhook-gateway", "executor", "executor-egress")
HEALTH_URL = "http://127.0.0.1:8222/healthz?js-enabled-only=true"
FIND_POSTGRES = (
    "from penstock_adapters.embedded.postgres_install import find_programs as find;"
    "print(find().bin)"
)
START_POSTGRES = f"""
bin=$$(python -c '{FIND_POSTGRES}') data=/var/lib/penstock/data
test -s "$$data/PG_VERSION" || {{
  "$$bin/initdb" -D "$$data" -U postgres -A scram-sha-256 --no-locale -E UTF8 \\
    --pwfile=/run/penstock/administrator-password
  echo "host all all all scram-sha-256" >> "$$data/pg_hba.conf"
}}
exec "$$bin/postgres" -D "$$data" -c listen_addresses=0.0.0.0 -c unix_socket_directories=/tmp
"""


def engine_obstacle() -> str | None:
    """What keeps containers from running here, or None."""
    if shutil.which("docker") is None:
        return "no `docker` program here"
    try:
        for line in (("version", "--format", "{{.Server.Version}}"), ("compose", "version")):
            done = subprocess.run(
                ["docker", *line], check=False, capture_output=True, text=True, timeout=ASK_S
            )
            if done.returncode:
                return (done.stderr.strip() or done.stdout.strip()).splitlines()[0]
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}"
    return None


def skip_without_engine() -> None:
    """Skip the test, saying why and what would help, where containers cannot run."""
    obstacle = engine_obstacle()
    if obstacle is not None:
        pytest.skip(
            f"no container engine with Compose answers: {obstacle}; "
            "start one, or name it in DOCKER_HOST"
        )


@contextmanager
def built_image(root: Path) -> Iterator[str]:
    """Build the image from the tree at `root`; gives its name, and removes it afterwards.

    Skips the test where the base is neither here nor to be had.
    """
    ready = os.environ.get(IMAGE_VARIABLE, "")
    if ready:
        yield ready
        return
    base = os.environ.get(BASE_VARIABLE, "") or _default_base(root)
    _need(base)
    given = {name: os.environ[name] for name in PIP_ARGUMENTS if os.environ.get(name)}
    image = DockerImage(
        path=root,
        tag=f"penstock-test:{secrets.token_hex(4)}",
        dockerfile_path=DOCKERFILE,
        target="service",
        rm=True,
        forcerm=True,
        buildargs={"BASE": base, **given},
    )
    with image:
        yield str(image)


def _default_base(root: Path) -> str:
    lines = (root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))


def _need(image: str) -> None:
    """Have the engine fetch an image unless it has it."""
    if _docker("image", "inspect", image, check=False).returncode == 0:
        return
    if _docker("pull", "--quiet", image, check=False).returncode:
        pytest.skip(
            f"the base image {image} cannot be fetched: name one with Python 3.11, git and tini "
            f"that is here in {BASE_VARIABLE}"
        )


def _docker(*line: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *line], check=check, capture_output=True, text=True, timeout=COMMAND_S
    )


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A Compose project of the test's own, whatever else runs on this machine.

    Attributes:
        folder: for its settings; holds nothing secret.
        image: the image of the services.
        command: `docker compose` with files, settings and name of the project.
        port: of this machine, for the gateway.
    """

    folder: Path
    image: str
    command: Sequence[str]
    port: int

    @classmethod
    @contextmanager
    def started(cls, root: Path, folder: Path, image: str) -> Iterator[ComposeProject]:
        """Start NATS, PostgreSQL and the services with inline agents; all is removed afterwards."""
        compose = DockerCompose(
            context=root,
            compose_file_name=[str(root / COMPOSE_FILE), str(folder / OVERRIDE)],
            env_file=str(folder / SETTINGS),
            services=list(SERVICES),
        )
        # Said on the command line: nothing in the environment can make it another project.
        name = f"penstock-test-{secrets.token_hex(4)}"
        compose.compose_command_property.extend(("--project-name", name))
        project = cls(folder, image, compose.compose_command_property, draw_free_port())
        project._write()
        try:
            compose.start()
            yield project
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"{_text(error.stderr)}\n{project.logs()}") from error
        finally:
            compose.services = None  # everything that was started, not these alone
            compose.stop()

    def _write(self) -> None:
        for folder in ("workspaces", "secrets"):
            (self.folder / folder).mkdir()
        told = {
            "PENSTOCK_IMAGE": self.image,
            "WORKSPACES": self.folder / "workspaces",
            "AGENT_SECRETS": self.folder / "secrets",
            "GATEWAY_ADDRESS": f"{LOOPBACK}:{self.port}",
        }
        told |= {name: os.environ[name] for name in SERVER_VARIABLES if os.environ.get(name)}
        lines = (f"{name}={value}\n" for name, value in told.items())
        (self.folder / SETTINGS).write_text("".join(lines), encoding="utf-8")
        override = {"services": _substitutes(self.image)}
        (self.folder / OVERRIDE).write_text(json.dumps(override), encoding="utf-8")

    def compose(self, *line: str) -> str:
        """Run `docker compose`; gives what it printed.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return subprocess.run(
            [*self.command, *line], check=True, capture_output=True, text=True, timeout=COMMAND_S
        ).stdout

    def inside(self, service: str, *line: str) -> str:
        """Run a command in a service's container; gives what it printed."""
        return self.compose("exec", "-T", service, *line)

    def cli(self, *line: str) -> str:
        """Run the command line in a container of its own; gives what it printed."""
        return self.compose("run", "--rm", "-T", "cli", *line)

    def logs(self) -> str:
        """The last lines of every container."""
        return self.compose("logs", "--no-color", "--tail", "30")

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found: list[dict[str, Any]] = json.loads(_docker("inspect", *ids).stdout)
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


class ComposeStack(RunningStack):
    """The API of a Compose project."""

    def __init__(self, project: ComposeProject) -> None:
        """Speak to the gateway of `project`, as its administrator."""
        home = project.folder / "home"
        super().__init__(home, {})
        self.project = project

    async def start(self) -> None:
        """Fetch the token and connect; the stack runs already."""
        credentials = self.home / "credentials"
        credentials.mkdir(parents=True, exist_ok=True)
        token = self.project.inside("webhook-gateway", "cat", "/run/penstock/admin-token")
        (credentials / "admin.token").write_text(token, encoding="utf-8")
        await self._open(f"http://{LOOPBACK}:{self.project.port}")
        for manifest in builtin_manifests():
            await self.register(manifest.to_data())

    async def stop(self) -> None:
        """Disconnect; the project is stopped by who started it."""
        await self._leave()


def image_config(image: str) -> Mapping[str, Any]:
    """What an image says of itself."""
    (found,) = json.loads(_docker("image", "inspect", image).stdout)
    config: Mapping[str, Any] = found["Config"]
    return config


def image_history(image: str) -> str:
    """The commands that an image was made by."""
    return _docker("image", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout


def in_image(image: str, *line: str) -> str:
    """Run a command in a fresh container of an image; gives what it printed."""
    return _docker(
        "run", "--rm", "--network", "none", "--entrypoint", line[0], image, *line[1:]
    ).stdout


def _substitutes(image: str) -> dict[str, Any]:
    """What stands in for the sandbox, and for the servers whose images were not named."""
    services: dict[str, Any] = {
        name: {"environment": {"PENSTOCK_SANDBOX": "inline"}}
        for name in ("executor", "executor-egress")
    }
    if not os.environ.get("NATS_IMAGE"):
        services["nats"] = {
            "image": image,
            "entrypoint": ["tini", "--"],
            "healthcheck": _asks(
                "python", "-c", f"import urllib.request as u; u.urlopen('{HEALTH_URL}', timeout=9)"
            ),
        }
    if not os.environ.get("POSTGRES_IMAGE"):
        programs = in_image(image, "python", "-c", FIND_POSTGRES).strip()
        own = {"image": image, "user": "10001:10001"}
        services["postgres"] = {
            **own,
            "entrypoint": ["sh", "-ec"],
            "command": [START_POSTGRES],
            "volumes": ["postgres-data:/var/lib/penstock"],  # whose owner is right in our image
            "healthcheck": _asks(f"{programs}/pg_isready", "-q", "-h", LOOPBACK, "-U", "postgres"),
        }
        services["databases"] = {**own, "environment": {"PATH": f"{programs}:/usr/bin:/bin"}}
    return services


def _text(told: bytes | str) -> str:
    return told if isinstance(told, str) else told.decode(errors="replace")


def _asks(*line: str) -> Mapping[str, object]:
    """A health check that a busy machine does not fail: starting an interpreter takes its time."""
    return {"test": ["CMD", *line], "timeout": "10s", "retries": 10}
