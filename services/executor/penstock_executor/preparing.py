"""Everything that is checked and gathered before a task may start."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import to_json

from penstock_contracts.agent.v1 import AgentManifest, Network
from penstock_contracts.codes import Code
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import MICROSECONDS, Failure
from penstock_executor.intake import Delivery
from penstock_executor.outcomes import failed
from penstock_executor.redaction import NOTHING, Redactor
from penstock_executor.shapes import Shape
from penstock_executor.workspaces import Shown, WorkspaceRefused, Workspaces
from penstock_runtime.bundles import Bundle, Bundles
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import EgressRule, Limits, SandboxSpec
from penstock_runtime.ports.secrets import Secrets

MAX_COMPILED = 256  # agents whose schemas stay compiled
_KB = 1024
_MB = 1024 * 1024
_BUILTIN = Path("/")  # built-in agents have no folder; the inline adapter does not look


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is worked out once a digest.

    Attributes:
        limits: as the manifest asks, before the task's own time is applied.
    """

    input: Shape
    output: Shape
    limits: Limits
    command: tuple[str, ...]
    repeats: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that may start."""

    spec: SandboxSpec
    output: Shape
    redact: Redactor
    repeats: bool


class Preparer:
    """Turns a task into a sandbox's specification, or says why it cannot be."""

    def __init__(
        self,
        bundles: Bundles,
        secrets: Secrets,
        workspaces: Workspaces,
        egress: Sequence[EgressRule],
        clock: Clock,
    ) -> None:
        self._bundles = bundles
        self._secrets = secrets
        self._workspaces = workspaces
        self._egress = tuple(egress)
        self._clock = clock
        self._compiled: OrderedDict[str, Compiled] = OrderedDict()

    async def prepare(self, delivery: Delivery) -> Prepared | Failure:
        """Check the task and gather what it needs; nothing has happened yet."""
        task = delivery.task
        left_s = (task.ends_by_us - self._clock.now_us()) / MICROSECONDS
        if left_s <= 0:
            return failed(Code.TIMEOUT_TOTAL, "the attempt's time was over before it could start")
        bundle = await self._bundles.find(task.agent, task.agent_digest)
        if bundle is None or bundle.digest != task.agent_digest:
            return _unavailable(task, bundle)
        try:
            compiled = self._compile(bundle)
        except ValueError as error:
            return failed(Code.AGENT_UNAVAILABLE, f"schema of {task.agent}: {error}")
        fault = compiled.input.fault(task.input)
        if fault is not None:
            return failed(Code.INVALID_INPUTS, f"the input of {task.agent} does not fit: {fault}")
        try:
            shown = self._workspaces.show(bundle.manifest.workspaces, task.input)
        except WorkspaceRefused as refusal:
            return failed(Code.WORKSPACE_REFUSED, str(refusal))
        secrets = await self._gather(bundle.manifest)
        if isinstance(secrets, Failure):
            return secrets
        spec = self._spec(delivery, bundle, compiled, shown, secrets, min(left_s, task.running_s))
        redact = Redactor(secrets.values()) if secrets else NOTHING
        return Prepared(spec, compiled.output, redact, compiled.repeats)

    def _compile(self, bundle: Bundle) -> Compiled:
        compiled = self._compiled.get(bundle.digest)
        if compiled is not None:
            return compiled
        manifest = bundle.manifest
        compiled = Compiled(
            input=Shape(manifest.input),
            output=Shape(manifest.output),
            limits=_limits(manifest),
            command=manifest.command or (manifest.name,),
            repeats=manifest.repeats,
        )
        self._compiled[bundle.digest] = compiled
        if len(self._compiled) > MAX_COMPILED:
            _ = self._compiled.popitem(last=False)
        return compiled

    async def _gather(self, manifest: AgentManifest) -> dict[str, str] | Failure:
        values: dict[str, str] = {}
        for name in manifest.secrets:
            value = await self._secrets.find(name)
            if value is None:
                where = self._secrets.places(name)
                message = f"secret {name} of {manifest.name} is not here; provide {where}"
                return failed(Code.AGENT_UNAVAILABLE, message)
            values[name.upper().replace("-", "_")] = value
        return values

    def _spec(
        self,
        delivery: Delivery,
        bundle: Bundle,
        compiled: Compiled,
        shown: Shown,
        secrets: dict[str, str],
        wall_s: float,
    ) -> SandboxSpec:
        task = delivery.task
        return SandboxSpec(
            task_id=task.task_id,
            bundle=bundle.folder or _BUILTIN,
            command=compiled.command,
            input=to_json(shown.input),
            limits=_within(compiled.limits, wall_s),
            mounts=shown.mounts,
            env=_environment(delivery),
            secrets=secrets,
            egress=self._egress if bundle.manifest.network is Network.EGRESS else (),
        )


def _unavailable(task: TaskMessage, bundle: Bundle | None) -> Failure:
    if bundle is None:
        here = f"this executor has no agent {task.agent}"
        mend = "put its folder below PENSTOCK_AGENT_ROOTS"
    else:
        here = f"this executor has {task.agent} as {bundle.digest}"
        mend = "register it again (`penstock agents register`) and start a new run, or restore it"
    message = f"the run is pinned to {task.agent} {task.agent_digest}; {here}: {mend}"
    return failed(Code.AGENT_UNAVAILABLE, message)


def _limits(manifest: AgentManifest) -> Limits:
    limits = manifest.limits
    return Limits(
        memory_bytes=limits.memory_mb * _MB,
        processes=limits.processes,
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        output_bytes=limits.output_kb * _KB,
        log_bytes=limits.log_kb * _KB,
        disk_bytes=limits.disk_mb * _MB,
    )


def _within(limits: Limits, wall_s: float) -> Limits:
    """The task's own time may be shorter than the manifest's."""
    if wall_s >= limits.wall_s:
        return limits
    return Limits(
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        cpu_s=limits.cpu_s,
        wall_s=wall_s,
        output_bytes=limits.output_bytes,
        log_bytes=limits.log_bytes,
        disk_bytes=limits.disk_bytes,
    )


def _environment(delivery: Delivery) -> dict[str, str]:
    task = delivery.task
    env = {
        "PENSTOCK_TASK_ID": task.task_id,
        "PENSTOCK_RUN_ID": task.run_id,
        "PENSTOCK_WORKFLOW": task.workflow,
        "PENSTOCK_NODE": task.node,
        "PENSTOCK_ATTEMPT": str(task.attempt),
        "PENSTOCK_PHASE": task.phase.value,
        "PENSTOCK_IDEMPOTENCY_KEY": task.idempotency_key,
    }
    if delivery.traceparent is not None:
        env["TRACEPARENT"] = delivery.traceparent
    return env
