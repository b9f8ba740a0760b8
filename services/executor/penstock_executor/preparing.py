"""Everything that is checked and gathered before a task may start."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock_contracts.agent.v1 import AgentManifest, Network
from penstock_contracts.codes import Code
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.images import ImagePolicy
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import MICROSECONDS, Failure, Phase
from penstock_executor.grants import Grants, needs_grant
from penstock_executor.images import Images
from penstock_executor.intake import Delivery
from penstock_executor.memo import memo_of
from penstock_executor.outcomes import Ending, failed, judged
from penstock_executor.planning import planned
from penstock_executor.redaction import NOTHING, Redactor
from penstock_executor.secret_grants import SecretGiver
from penstock_executor.shapes import Shape
from penstock_executor.specs import document_of, environment_of, limits_of, within
from penstock_executor.workspaces import Shown, WorkspaceRefused, Workspaces
from penstock_runtime.bundles import Bundle, Bundles
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import EgressRule, Limits, SandboxSpec

MAX_COMPILED = 256  # agents whose schemas stay compiled
_BUILTIN = Path("/")  # built-in agents have no folder; the inline adapter does not look


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is worked out once a digest.

    Attributes:
        outputs: names of the output's fields.
        limits: as the manifest asks, before the task's own time is applied.
    """

    input: Shape
    output: Shape
    outputs: frozenset[str]
    limits: Limits
    command: tuple[str, ...]
    repeats: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that may start, as far as can be said without looking at its repository.

    Attributes:
        spec: what the sandbox is told; a repository's clone is still missing in it.
        outputs: names of the output's fields.
        repeats: it needs no claim.
        grant: proof that people allowed it, where that is needed.
    """

    task: TaskMessage
    spec: SandboxSpec
    shown: Shown
    output: Shape
    outputs: frozenset[str]
    redact: Redactor
    repeats: bool
    grant: Grant | None

    def spec_with(self, clone: Path) -> SandboxSpec:
        """Give what the sandbox is told when it is shown the clone."""
        shown = self.shown.with_clone(clone)
        return replace(self.spec, input=document_of(self.task, shown.input), mounts=shown.mounts)

    def judge(self, raw: bytes | None) -> Ending:
        """Judge the output of the agent, which ended well."""
        read = planned if self.task.phase is Phase.PLAN else judged
        return read(raw, self.output, self.redact)


@dataclass(frozen=True, slots=True)
class Terms:
    """What this executor gives agents and takes from them.

    Attributes:
        memoises: the sandbox keeps results; elsewhere no digest is worked out for it.
    """

    workspaces: Workspaces
    egress: tuple[EgressRule, ...] = ()
    images: Images = field(default_factory=lambda: Images(ImagePolicy()))
    memoises: bool = False


class Preparer:
    """Turns a task into a sandbox's specification, or says why it cannot be."""

    def __init__(
        self, bundles: Bundles, secrets: SecretGiver, terms: Terms, grants: Grants, clock: Clock
    ) -> None:
        self._bundles = bundles
        self._secrets = secrets
        self._terms = terms
        self._grants = grants
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
        refused = self._terms.images.refusal(bundle)
        if refused is not None:
            return failed(Code.IMAGE_REFUSED, refused)
        grant = self._allowed(delivery, bundle)
        if isinstance(grant, Failure):
            return grant
        try:
            compiled = self._compile(bundle)
        except ValueError as error:
            return failed(Code.AGENT_UNAVAILABLE, f"schema of {task.agent}: {error}")
        fault = compiled.input.fault(task.input)
        if fault is not None:
            return failed(Code.INVALID_INPUTS, f"the input of {task.agent} does not fit: {fault}")
        planning = task.phase is Phase.PLAN
        try:
            # Planning changes nothing, so it is given nothing that it could change.
            wanted = bundle.manifest.workspaces
            shown = self._terms.workspaces.show(wanted, task.input, changing=not planning)
        except WorkspaceRefused as refusal:
            return failed(Code.WORKSPACE_REFUSED, str(refusal))
        secrets = await self._secrets.give(bundle.manifest)
        if isinstance(secrets, Failure):
            return secrets
        return Prepared(
            task=task,
            spec=SandboxSpec(
                task_id=task.task_id,
                bundle=bundle.folder or _BUILTIN,
                command=compiled.command,
                input=document_of(task, shown.input),
                limits=within(compiled.limits, min(left_s, task.running_s)),
                mounts=shown.mounts,
                env=environment_of(
                    delivery, granted=grant is not None, memoised=bundle.manifest.memoise
                ),
                secrets=secrets,
                egress=self._egress(bundle.manifest),
                image=bundle.manifest.image,
                memo=await self._memo(task, bundle, shown, compiled.limits),
            ),
            shown=shown,
            output=compiled.output,
            outputs=compiled.outputs,
            redact=Redactor(secrets.values()) if secrets else NOTHING,
            repeats=planning or compiled.repeats,
            grant=grant,
        )

    def late(self, prepared: Prepared) -> Failure | None:
        """Say why a task that was in order may not begin any more, after its claim was awaited."""
        return None if prepared.grant is None else self._grants.ended(prepared.grant)

    def _allowed(self, delivery: Delivery, bundle: Bundle) -> Grant | Failure | None:
        task = delivery.task
        phases = bundle.manifest.phases
        if task.phase not in phases:
            here = f"{task.agent} has {', '.join(phases)} and no {task.phase.value}"
            mend = "a new run takes the phases from the manifest as it is registered"
            return failed(Code.AGENT_UNAVAILABLE, f"{here}: {mend}")
        return self._grants.check(delivery, bundle) if needs_grant(task, bundle) else None

    def _egress(self, manifest: AgentManifest) -> tuple[EgressRule, ...]:
        return self._terms.egress if manifest.network is Network.EGRESS else ()

    async def _memo(
        self, task: TaskMessage, bundle: Bundle, shown: Shown, limits: Limits
    ) -> str | None:
        """Digest what the result depends on, where it may be one from before.

        A further attempt is run afresh, or it would be answered by the failure it follows; and so
        is one after feedback, which asks for another result.
        """
        wanted = self._terms.memoises and bundle.manifest.memoise
        if not wanted or task.attempt > 1 or task.feedback:
            return None
        return await memo_of(bundle, shown, limits)

    def _compile(self, bundle: Bundle) -> Compiled:
        compiled = self._compiled.get(bundle.digest)
        if compiled is not None:
            return compiled
        manifest = bundle.manifest
        compiled = Compiled(
            input=Shape(manifest.input),
            output=Shape(manifest.output),
            outputs=_fields(manifest),
            limits=limits_of(manifest),
            command=manifest.command or (manifest.name,),
            repeats=manifest.repeats,
        )
        self._compiled[bundle.digest] = compiled
        if len(self._compiled) > MAX_COMPILED:
            _ = self._compiled.popitem(last=False)
        return compiled


def _unavailable(task: TaskMessage, bundle: Bundle | None) -> Failure:
    if bundle is None:
        here = f"this executor has no agent {task.agent}"
        mend = "put its folder below PENSTOCK_AGENT_ROOTS"
    else:
        here = f"this executor has {task.agent} as {bundle.digest}"
        mend = "register it again (`penstock agents register`) and start a new run, or restore it"
    message = f"the run is pinned to {task.agent} {task.agent_digest}; {here}: {mend}"
    return failed(Code.AGENT_UNAVAILABLE, message)


def _fields(manifest: AgentManifest) -> frozenset[str]:
    named = manifest.output.get("properties")
    return frozenset(named) if isinstance(named, dict) else frozenset()
