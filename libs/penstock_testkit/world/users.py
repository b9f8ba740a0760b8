"""What users do to a world: commands and triggers, as the gateway and others publish them."""

from __future__ import annotations

from pydantic_core import to_json

from penstock_adapters.memory.streams import MemoryServer
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest, RegisterAgent
from penstock_contracts.approval.v1 import CastVote, Choice
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import approval_id, run_id
from penstock_contracts.registry import type_of
from penstock_contracts.run.v1 import CancelRun, RestoreArtifact, SettleOutcome
from penstock_contracts.values import JsonObject, Wire
from penstock_contracts.workflow.v1 import ApplyWorkflow

TENANT = "default"
RUN_PARTITION = subjects.run_partition(0)


class Users:
    """Everybody outside of the processes.

    Attributes:
        bus: that they publish on.
    """

    def __init__(self, bus: MemoryServer) -> None:
        """Publish on `bus`."""
        self.bus = bus
        self._command = 0

    def send(self, subject: str, body: Wire, command_id: str = "", actor: str = "user:ann") -> str:
        """Publish a command; give its id."""
        self._command += 1
        command_id = command_id or f"command-{self._command}"
        message = Envelope(
            id=command_id, source="penstock/gateway", type=type_of(body), actor=actor,
            data=body.to_data(),
        )  # fmt: skip
        self.bus.store(subject, message.encode())
        return command_id

    def register(self, *agents: AgentManifest) -> None:
        """Register agents."""
        for one in agents:
            path = subjects.catalog(TENANT, "agent", one.name, "register_agent")
            self.send(path, RegisterAgent(manifest=one))

    def apply(self, document: JsonObject) -> None:
        """Apply a workflow."""
        path = subjects.catalog(TENANT, "workflow", str(document["name"]), "apply_workflow")
        self.send(path, ApplyWorkflow(document=document))

    def trigger(
        self, workflow: str, trigger_id: str = "t1", inputs: JsonObject | None = None
    ) -> str:
        """Start a workflow by a plain message with an id; give the run's id."""
        body = to_json({"inputs": inputs or {}})
        path = subjects.trigger(TENANT, f"workflow.{workflow}")
        self.bus.store(path, body, {"Nats-Msg-Id": trigger_id})
        return run_id(TENANT, workflow, f"msg:{trigger_id}")

    def vote(
        self,
        run: str,
        node: str,
        choice: Choice,
        reason: str = "because",
        user: str = "user:bob",
        *,
        attempt: int = 1,
        to: str | None = None,
        answers: JsonObject | None = None,
    ) -> str:
        """Vote on a gate of a run; give the command's id."""
        approval = approval_id(run, node, attempt)
        body = CastVote(
            approval_id=approval, choice=choice, reason=reason, user=user, roles=("approver",),
            to=to, answers=answers or {},
        )  # fmt: skip
        return self.send(subjects.approval(TENANT, approval, "cast_vote"), body, actor=user)

    def cancel(self, run: str, command_id: str = "") -> str:
        """Cancel a run; give the command's id."""
        path = subjects.run(TENANT, RUN_PARTITION, run, "cancel_run")
        return self.send(path, CancelRun(run_id=run, reason="enough"), command_id)

    def restore(self, run: str, digest: str) -> str:
        """Ask for an artifact of a run; give the command's id."""
        path = subjects.run(TENANT, RUN_PARTITION, run, "restore_artifact")
        return self.send(path, RestoreArtifact(run_id=run, digest=digest))

    def settle(
        self,
        run: str,
        node: str,
        *,
        happened: bool,
        attempt: int = 1,
        output: JsonObject | None = None,
    ) -> str:
        """Say whether an effect of unknown outcome happened; give the command's id."""
        path = subjects.run(TENANT, RUN_PARTITION, run, "settle_outcome")
        body = SettleOutcome(
            run_id=run, node=node, attempt=attempt, happened=happened, reason="looked it up",
            output=output or {},
        )  # fmt: skip
        return self.send(path, body)
