"""Agents: the manifest, the catalog commands about them and the events they leave."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from penstock_contracts.images import MAX_IMAGE_CHARS, ImageFault, read_image
from penstock_contracts.values import Digest, JsonObject, Name, Phase, Wire


class Risk(StrEnum):
    """Whether a person must allow each execution. Policy may raise it, never lower it."""

    AUTO = "AUTO"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"


class Effect(StrEnum):
    """Whether the program may run again after a doubt."""

    REPEATABLE = "repeatable"
    ONCE = "once"


class Network(StrEnum):
    """What the sandbox may reach: nothing, or what its pool's allow-list names."""

    NONE = "none"
    EGRESS = "egress"


class Workspace(Wire):
    """An input that names a folder of the host; the program sees the path inside the sandbox.

    `git`: the folder is a git repository, and the program works on a private clone of it. Nothing
    it does there reaches the repository but the commit of an approved plan.

    Attributes:
        ref: of `git`: the input that names the branch to work on; without one, or where it is
            empty, the branch that the repository's HEAD names.
    """

    input: str
    mode: Literal["ro", "rw", "git"] = "ro"
    optional: bool = False
    ref: str | None = None


class AgentLimits(Wire):
    """Bounds on one task. MB and KB are 1024-based.

    Attributes:
        artifacts_mb: all files together that it may leave in its folder for artifacts; 0: none.
    """

    memory_mb: int = Field(default=512, ge=16, le=65_536)
    processes: int = Field(default=64, ge=1, le=4_096)
    cpu_s: float = Field(default=60, gt=0, le=86_400)
    wall_s: float = Field(default=60, gt=0, le=86_400)
    output_kb: int = Field(default=1_024, ge=1, le=65_536)
    log_kb: int = Field(default=256, ge=1, le=65_536)
    disk_mb: int = Field(default=64, ge=1, le=65_536)
    artifacts_mb: int = Field(default=256, ge=0, le=1_048_576)


_RUN = (Phase.RUN,)


def _image(text: str) -> str:
    try:
        _ = read_image(text)
    except ImageFault as fault:
        raise _refusal(str(fault)) from None
    return text


def _refusal(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("manifest", "{sentence}", {"sentence": sentence})


Image = Annotated[str, Field(max_length=MAX_IMAGE_CHARS), AfterValidator(_image)]


class OptionalSecret(Wire):
    """A secret that the agent is given where there is one, and does without where there is none."""

    name: str
    optional: Literal[True]


class AgentManifest(Wire):
    """What an agent is and may do (`agent.yaml`).

    Attributes:
        command: argv inside the sandbox; empty for a built-in agent of the inline adapter.
        input: JSON Schema of the input object.
        output: JSON Schema of the output object.
        phases: `[run]`, or `[plan, apply]`: a plan without side effects first, which a person
            allows, then just that.
        atomic: `apply` has one effect point, conditional on the state planned against; False is
            shown to the approver.
        bundle: digest of the program's files, filled in at registration.
        image: the file system the command runs in, as `penstock_contracts.images` reads it;
            without one the sandbox's own.
        memoise: an equal task may be answered with the result of an earlier one. Equal are
            agent, image, input, the contents of all workspaces and limits; so it is for agents
            only whose result depends on nothing else, and they are told nothing of the run.
    """

    api_version: Literal["penstock/v1"] = Field(default="penstock/v1", alias="apiVersion")
    kind: Literal["Agent"] = "Agent"
    name: Name
    version: str = Field(default="0.0.0", max_length=64)
    description: str = Field(default="", max_length=2_048)
    risk: Risk = Risk.AUTO
    effect: Effect | None = None
    phases: tuple[Phase, ...] = _RUN
    atomic: bool = True
    command: tuple[str, ...] = ()
    pool: Name = "default"
    network: Network = Network.NONE
    workspaces: tuple[Workspace, ...] = ()
    secrets: tuple[str | OptionalSecret, ...] = ()
    limits: AgentLimits = AgentLimits()
    input: JsonObject = {}
    output: JsonObject = {}
    bundle: Digest | None = None
    image: Image | None = None
    memoise: bool = False  # the last field: what it asks of the others has then been read

    @field_validator("memoise", mode="after")
    @classmethod
    def _result_depends_on_the_task_alone(cls, value: bool, info: ValidationInfo) -> bool:
        if not value:
            return value
        given = info.data  # a field that is refused itself is absent
        workspaces: tuple[Workspace, ...] = given.get("workspaces", ())
        if given.get("phases", _RUN) != _RUN:
            raise _refusal("what is planned and applied is never remembered: take `memoise` out")
        if given.get("risk", Risk.AUTO) is not Risk.AUTO:
            raise _refusal("what a person has to allow is done anew: it needs `risk: AUTO`")
        if given.get("effect") is Effect.ONCE:
            raise _refusal("what is done once is not remembered: it needs `effect: repeatable`")
        if given.get("network", Network.NONE) is not Network.NONE:
            raise _refusal("what the network answers may change: it needs `network: none`")
        if given.get("secrets"):
            raise _refusal("a result made with secrets is not kept: it needs `secrets: []`")
        if any(workspace.mode != "ro" for workspace in workspaces):
            raise _refusal("what is written would be missing: all its workspaces need `mode: ro`")
        return value

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.phases == _RUN:
            return self
        if self.phases != (Phase.PLAN, Phase.APPLY):
            raise ValueError("phases: write [run], or [plan, apply]")
        if self.risk is not Risk.APPROVAL_REQUIRED:
            raise ValueError("phases: an agent that plans needs `risk: APPROVAL_REQUIRED`")
        if self.effect is Effect.REPEATABLE:
            raise ValueError("effect: what a person has allowed once is `once`, not `repeatable`")
        return self

    @property
    def plans(self) -> bool:
        """Whether it proposes a plan, and applies it once it is approved."""
        return self.phases == (Phase.PLAN, Phase.APPLY)

    @property
    def asked_secrets(self) -> tuple[tuple[str, bool], ...]:
        """Names of the secrets, each with whether the agent can do without it."""
        return tuple(
            (one, False) if isinstance(one, str) else (one.name, True) for one in self.secrets
        )

    @property
    def repeats(self) -> bool:
        """Whether the program may run again; the default is `once` where approval is required."""
        if self.effect is not None:
            return self.effect is Effect.REPEATABLE
        return self.risk is Risk.AUTO


class RegisterAgent(Wire):
    """Store a manifest; the same digest again changes nothing."""

    TYPE: ClassVar[str] = "agent.register_agent.v1"
    manifest: AgentManifest


class RemoveAgent(Wire):
    """Take an agent out of use; running runs keep their pinned version."""

    TYPE: ClassVar[str] = "agent.remove_agent.v1"
    name: Name


class AgentRegistered(Wire):
    """A new version of an agent."""

    TYPE: ClassVar[str] = "agent.agent_registered.v1"
    tenant: str
    digest: Digest
    manifest: AgentManifest
    command_id: str = ""


class AgentUnchanged(Wire):
    """The same digest was registered again (kept so that its sender has an answer)."""

    TYPE: ClassVar[str] = "agent.agent_unchanged.v1"
    digest: Digest
    command_id: str = ""


class AgentRemoved(Wire):
    """The agent is out of use."""

    TYPE: ClassVar[str] = "agent.agent_removed.v1"
    tenant: str
    name: str
    command_id: str = ""


class CommandRejected(Wire):
    """A command was refused, said once per command id."""

    TYPE: ClassVar[str] = "agent.command_rejected.v1"
    command_id: str
    command: str
    code: str
    detail: str = Field(default="", max_length=4096)
