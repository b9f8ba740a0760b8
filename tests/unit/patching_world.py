"""A world of the executor with one repository, whose agent plans and applies."""

from pathlib import Path

from penstock_contracts.agent.v1 import AgentManifest, Effect, Risk, Workspace
from penstock_contracts.ids import idempotency_key
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import Phase
from penstock_executor.workspaces import Workspaces
from penstock_testkit.fakes.executor import RUN, ExecutorWorld
from penstock_testkit.fakes.repositories import REF, TIP

INSIDE = "/penstock/workspace/repository_path"
KEY = idempotency_key(RUN, "scan")
PATCHER = AgentManifest(
    name="patcher",
    risk=Risk.APPROVAL_REQUIRED,
    effect=Effect.ONCE,
    phases=(Phase.PLAN, Phase.APPLY),
    command=("patcher",),
    workspaces=(Workspace(input="repository_path", mode="git", ref="target_branch"),),
    input={"type": "object"},
    output={
        "type": "object",
        "required": ["applied"],
        "properties": {"applied": {}, "commit": {}, "backup_path": {}, "rollback": {}},
    },
)
PROPOSED = {"files": [{"path": "a", "mode": "100644", "blob": "3" * 40}], "message": "Mend a"}
EFFECT = {"kind": "git", "ref": REF, "message": "Mend a", "files": [{"path": "a", "new": "3" * 40}]}
PLAN = PlannedChange(effect=EFFECT, base={"ref": REF, "commit": TIP, "files": {}}, summary="s")


class Patching:
    """A world with one repository, whose agent plans and applies."""

    def __init__(self, tmp_path: Path, manifest: AgentManifest = PATCHER, **options: object):
        self.repository = tmp_path / "repository"
        self.repository.mkdir()
        self.scratch = tmp_path / "scratch"
        self.world = ExecutorWorld(
            manifest,
            workspaces=Workspaces([tmp_path]),
            scratch=self.scratch,
            **options,  # type: ignore[arg-type]
        )
        self.world.sandbox.ends(exit_code=0, output=b'{"applied": true}')

    def task(self, phase: Phase, **given: object) -> TaskMessage:
        path = {"repository_path": str(self.repository), **given}
        plan = PLAN if phase is Phase.APPLY else None
        task = self.world.task(phase=phase, input=path, plan=plan)
        return self.world.granted(task) if plan else task

    async def claimed(self, task: TaskMessage):
        """Deliver a task and let it be claimed; gives the item."""
        item = self.world.deliver(task)
        await self.world.until(lambda: self.world.data_of(ClaimTask.TYPE))
        nonce = ClaimTask.model_validate(self.world.data_of(ClaimTask.TYPE)[0]).nonce
        await self.world.answer_claim(task, nonce, granted=True)
        return item

    async def applied(self) -> ReportResult:
        item = await self.claimed(self.task(Phase.APPLY))
        assert await self.world.settled(item) == "ack"
        (result,) = self.world.results()
        self.nothing_is_left()
        return result

    def nothing_is_left(self) -> None:
        assert self.world.temporaries.made != []
        assert list(self.scratch.iterdir()) == []
