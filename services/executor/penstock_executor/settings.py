"""Settings of the executor."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from penstock_contracts.images import ImageFault, ImagePolicy, read_image, read_registry
from penstock_contracts.values import Name
from penstock_executor.secret_grants import SecretGrant, read_secret_grants
from penstock_runtime.breaker import FAILURES, HANG_S, OPEN_S, WINDOW_S, BreakerRules
from penstock_runtime.grants import read_keys
from penstock_runtime.ports.sandbox import EgressRule
from penstock_runtime.ports.signing import GrantKey
from penstock_runtime.settings import NatsSettings, ServiceSettings

TASKS_PER_CORE = 2
INLINE_CAPACITY = 200
MAX_PORT = 65_535


class SandboxKind(StrEnum):
    """Adapters of the sandbox port."""

    BUBBLEWRAP = "bubblewrap"
    DAGGER = "dagger"
    PROCESS = "process"
    INLINE = "inline"


class DaggerNetwork(StrEnum):
    """What lets agents out of a container."""

    PROXY = "proxy"
    ENGINE = "engine"


class ImageDigests(StrEnum):
    """Whether a registry's image has to be named by its digest."""

    REQUIRE = "require"
    ALLOW_TAGS = "allow-tags"


def _paths(value: object) -> object:
    """Split as PATH is split; empty pieces are left out."""
    if isinstance(value, str):
        return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
    return value


def _rules(value: object) -> object:
    """Read `host:port,host:port`; an IPv6 address stands in brackets."""
    if isinstance(value, str):
        return tuple(_rule(part.strip()) for part in value.split(",") if part.strip())
    return value


def _rule(text: str) -> EgressRule:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise ValueError(f"`{text}` is not host:port")
    return EgressRule(host.removeprefix("[").removesuffix("]"), int(port))


def _keys(value: object) -> object:
    """Read `id:base64,id:base64`."""
    return read_keys(value) if isinstance(value, str) else value


def _secret_grants(value: object) -> object:
    """Read `agent:secret,agent:secret`."""
    return read_secret_grants(value) if isinstance(value, str) else value


def _registries(value: object) -> object:
    """Read `host[:port][/path],...`; a fault names the place and not the text."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(_registry(number, part) for number, part in enumerate(parts, 1))
    return value


def _registry(number: int, text: str) -> str:
    try:
        return read_registry(text)
    except ImageFault as fault:
        raise ValueError(f"entry {number}: {fault}") from None


def _default_image(value: str) -> str:
    """Check `host`, `rootfs:/path`, `oci-archive:/path[:tag]`, or a registry's image."""
    if value != "host" and not value.startswith(("rootfs:/", "oci-archive:/")):
        _ = read_image(value)
    return value


DefaultImage = Annotated[str, AfterValidator(_default_image)]
PathList = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
RuleList = Annotated[tuple[EgressRule, ...], BeforeValidator(_rules)]
RegistryList = Annotated[tuple[str, ...], BeforeValidator(_registries)]
SecretGrantList = Annotated[tuple[SecretGrant, ...], BeforeValidator(_secret_grants)]
KeyList = Annotated[tuple[GrantKey, ...], BeforeValidator(_keys)]


class ExecutorSettings(NatsSettings, ServiceSettings):
    """What an executor reads from its environment."""

    pool: Name = Field(default="default", description="pool whose tasks it takes")
    capacity: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=f"tasks at once (default: {TASKS_PER_CORE} a core; inline {INLINE_CAPACITY})",
    )
    sandbox: SandboxKind = Field(
        default=SandboxKind.BUBBLEWRAP,
        description="what isolates agents; `inline` runs the built-in agents only",
    )
    allow_unsandboxed: bool = Field(
        default=False,
        validate_default=True,  # its absence is what must be noticed
        description="1 allows `process`, which isolates nothing",
    )
    agent_roots: PathList = Field(
        default=(),
        description="folders whose subfolders are agents, separated as in PATH "
        "(default: the agents that came with Penstock)",
    )
    workspace_roots: PathList = Field(
        default=(),
        description="folders inside which agents may be given folders, separated as in PATH",
    )
    egress_allow: RuleList = Field(
        default=(),
        description="`host:port,host:port` that agents with `network: egress` may reach",
    )
    grant_keys: KeyList = Field(
        default=(),
        description="public keys of the approval service, `<key id>:<base64>` separated by "
        "commas, as it logs its own at its start; without them no task that a person has to "
        "allow is executed",
    )
    dagger_engine: str | None = Field(
        default=None,
        description="engine of `PENSTOCK_SANDBOX=dagger`: `unix://`, `tcp://` or "
        "`docker-container://` (default: `_EXPERIMENTAL_DAGGER_RUNNER_HOST`, else the CLI decides)",
    )
    dagger_cli: Path | None = Field(
        default=None,
        description="the `dagger` program "
        "(default: `_EXPERIMENTAL_DAGGER_CLI_BIN`, else the one on PATH)",
    )
    dagger_image: DefaultImage = Field(
        default="host",
        description="what agents without an image run in: an image by its digest, "
        "`oci-archive:/path`, `rootfs:/path`, or `host`: the executor's own interpreter and "
        "libraries, brought to the engine",
    )
    dagger_network: DaggerNetwork = Field(
        default=DaggerNetwork.PROXY,
        description="how agents with `network: egress` get out: through the executor's proxy "
        "and `PENSTOCK_EGRESS_ALLOW`, or by the engine's own network, which then decides",
    )
    image_registries: RegistryList = Field(
        default=(),
        description="`host[:port]` or `host[:port]/path`, separated by commas: where agents' "
        "images may come from; `docker.io` has to be named as any other",
    )
    image_digests: ImageDigests = Field(
        default=ImageDigests.REQUIRE,
        description="whether a registry's image has to be named by its digest, or a tag that "
        "names a version is enough",
    )
    image_local: bool = Field(
        default=True,
        description="1 accepts images in an agent's own folder, which its digest covers",
    )
    breaker_failures: int = Field(
        default=FAILURES,
        ge=1,
        le=1_000,
        description="failures of the sandbox that open its circuit breaker",
    )
    breaker_window_s: float = Field(
        default=WINDOW_S, gt=0, le=86_400, description="seconds in which they count together"
    )
    breaker_open_s: float = Field(
        default=OPEN_S, gt=0, le=86_400, description="seconds until the sandbox is tried again"
    )
    breaker_hang_s: float = Field(
        default=HANG_S,
        gt=0,
        le=86_400,
        description="seconds the sandbox has for an answer before what it does is ended: when "
        "it is looked at, which may have to start an engine or fetch an image, and for a task "
        "after its own time (`wall_s`) is over",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="folder with one file a secret, asked after `PENSTOCK_SECRET_<NAME>`",
    )
    secrets_env_file: Path | None = Field(
        default=None,
        description="file of `NAME=value` lines, asked last; nobody but its owner may have a "
        "right to it (mode 0600)",
    )
    agent_grants: SecretGrantList = Field(
        default=(),
        description="`agent:secret`, separated by commas or new lines: which agent may be given "
        "which secret; an agent gets what its manifest names and this grants, and does not run "
        "without",
    )
    scratch: Path | None = Field(
        default=None, description="folder for tasks' temporaries (default: below the system's)"
    )
    home: Path | None = Field(
        default=None, description="state folder of the embedded stack; never shown to an agent"
    )

    @field_validator("allow_unsandboxed", mode="after")
    @classmethod
    def _process_needs_leave(cls, value: bool, info: ValidationInfo) -> bool:
        if info.data.get("sandbox") is SandboxKind.PROCESS and not value:
            raise ValueError(
                "must be 1 with PENSTOCK_SANDBOX=process: agents would run without isolation"
            )
        return value

    @field_validator("secrets_env_file", mode="after")
    @classmethod
    def _agents_are_not_shown_it(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        roots: tuple[Path, ...] = info.data.get("workspace_roots", ())
        if value is not None and any(
            value.resolve().is_relative_to(one.resolve()) for one in roots
        ):
            raise ValueError(f"{value} lies in PENSTOCK_WORKSPACE_ROOTS: agents could be shown it")
        return value

    def images(self) -> ImagePolicy:
        """Which images are accepted."""
        return ImagePolicy(
            registries=self.image_registries,
            require_digest=self.image_digests is ImageDigests.REQUIRE,
            local=self.image_local,
        )

    def breaker_rules(self) -> BreakerRules:
        """When the circuit breaker opens."""
        return BreakerRules(
            self.breaker_failures, self.breaker_window_s, self.breaker_open_s, self.breaker_hang_s
        )

    def tasks_at_once(self) -> int:
        """Capacity, with its default worked out."""
        if self.capacity is not None:
            return self.capacity
        if self.sandbox is SandboxKind.INLINE:
            return INLINE_CAPACITY
        return TASKS_PER_CORE * (os.cpu_count() or 1)
