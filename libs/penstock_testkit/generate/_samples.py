"""Realistic values for every field of every message, from which golden samples are made once.

A sample that is checked in is never made again: what stands here serves new types only.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from penstock_contracts import ids
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.subjects import Stream
from penstock_contracts.values import Wire
from penstock_core.binding import bind

TENANT = "default"
AT_US = 1_795_000_000_000_000
TRIGGER_ID = "ce:https://ci.example/builds#4711"
RUN = ids.run_id(TENANT, "scan-and-tell", TRIGGER_ID)
TASK = ids.task_id(RUN, "scan", 1, "run")
APPROVAL = ids.approval_id(RUN, "decide", 1)
TRIGGER = ids.trigger_aggregate_id(TENANT, TRIGGER_ID)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DIGEST = "sha256:" + "5e" * 32
AGENT_DIGEST = "sha256:" + "a9" * 32
FINDINGS = {
    "findings": [{"rule": "sql-injection", "file": "app/db.py", "line": 42}],
    "passed": False,
}
MANIFEST = {
    "apiVersion": "penstock/v1",
    "kind": "Agent",
    "name": "security-scanner",
    "version": "1.2.0",
    "description": "Finds secrets and injections",
    "risk": "AUTO",
    "effect": "repeatable",
    "command": ["python", "-m", "scanner"],
    "pool": "scans",
    "network": "egress",
    "workspaces": [{"input": "repository_path", "mode": "rw", "optional": True}],
    "secrets": ["advisory-token"],
    "limits": {
        "memory_mb": 256,
        "processes": 32,
        "cpu_s": 30.0,
        "wall_s": 20.0,
        "output_kb": 512,
        "log_kb": 128,
        "disk_mb": 32,
    },
    "input": {"type": "object", "required": ["repository_path"]},
    "output": {"type": "object"},
    "bundle": AGENT_DIGEST,
}
BREAKER = {
    "executor": "executor-1",
    "pool": "default",
    "adapter": "dagger",
    "state": "OPEN",
    "failures": 5,
    "reason": "the engine does not answer",
    "since_us": AT_US,
    "until_us": AT_US + 60_000_000,
}
DOCUMENT = {
    "apiVersion": "penstock/v1",
    "kind": "Workflow",
    "name": "scan-and-tell",
    "triggers": [{"on": "ci.build.*", "when": "trigger.data.branch == 'main'"}],
    "nodes": {
        "scan": {
            "agent": "security-scanner",
            "with": {"repository_path": "{{inputs.path}}"},
            "retry": {"attempts": 3, "delay": "2s"},
        },
        "decide": {"needs": ["scan"], "approval": {"title": "Ship it?", "expires": "4h"}},
    },
}
PROBLEM = {
    "pointer": "/nodes/scan/agent",
    "code": "unknown_agent",
    "message": "there is no agent 'scaner'",
    "suggestion": "did you mean 'security-scanner'?",
}
FAILURE = {"code": "agent_failed", "message": "the advisory list did not answer", "retryable": True}
PLAN = {
    "effect": {"kind": "git", "ref": "refs/heads/main", "diff": "--- a/app/db.py\n"},
    "base": {"ref": "refs/heads/main", "commit": "3f" * 20, "files": {"app/db.py": "9c" * 20}},
    "summary": "binds the query's parameters",
}
PROPOSAL = {
    "agent": "patcher",
    "agent_digest": AGENT_DIGEST,
    "input": {"repository_path": "/srv/app"},
    "plan": PLAN,
    "atomic": False,
}
BINDING = bind(Proposal.model_validate(PROPOSAL)).to_data()
POLICY = {
    "approvers": {"users": ["ada"], "groups": ["security"], "roles": ["approver", "admin"]},
    "quorum": 2,
    "separation": True,
    "reason_required": True,
    "form": {"type": "object", "properties": {"ticket": {"type": "string"}}},
    "remind_every_s": 3600.0,
    "push_back": ["scan", "decide"],
    "grant_s": 600.0,
}
GRANT = {
    "payload": '{"attempt":2,"node":"decide"}',
    "signature": "c2lnbmVkIGJ5IHRoZSBhcHByb3ZhbCBzZXJ2aWNl",
    "key_id": "0f1e2d3c4b5a6978",
}
USAGE = {"wall_s": 1.75, "cpu_s": 0.5, "max_rss_bytes": 73_400_320}

ARTIFACT = {
    "name": "reports/security-scanner.sarif",
    "digest": "sha256:" + "7e" * 32,
    "size": 131_072,
    "media_type": "application/sarif+json",
}

BY_NAME: dict[str, Any] = {
    "agent": "security-scanner",
    "agent_digest": AGENT_DIGEST,
    "agents": {"security-scanner": AGENT_DIGEST},
    "aggregate": RUN,
    "answers": {"ticket": "SEC-4711"},
    "approval_id": APPROVAL,
    "artifacts": [ARTIFACT],
    "at_us": AT_US + 900_000,
    "attempt": 2,
    "binding": BINDING,
    "because": "pushed back by grace: pin the version",
    "by": "token:ada",
    "cause": {"node": "scan", "error": FAILURE},
    "chain_head": "c4" * 32,
    "choice": "approve",
    "code": "already_ended",
    "command": "run.cancel_run.v1",
    "command_id": "0b8f6a52-3f52-4c1c-9f35-6f4a7b0f2d11",
    "context": FINDINGS,
    "definition_digest": DIGEST,
    "detail": "the run has ended already",
    "digest": DIGEST,
    "document": DOCUMENT,
    "doubtful": True,
    "ended_us": AT_US + 9_000_000,
    "ends_by_us": AT_US + 3_600_000_000,
    "epoch": 7,
    "error": FAILURE,
    "events_n": 4_720,
    "executor": "executor-1",
    "expires_us": AT_US + 14_400_000_000,
    "feedback": "leave the tests as they are",
    "faults": ["nightly: inputs do not fit"],
    "first": 11,
    "grant": GRANT,
    "granted": True,
    "granted_us": AT_US + 5_000_000,
    "groups": ["security"],
    "happened": True,
    "headers": {"Nats-Msg-Id": "build-4711"},
    "idempotency_key": ids.idempotency_key(RUN, "scan"),
    "input": {"repository_path": "/workspace/app"},
    "inputs": {"path": "/srv/app", "depth": 3},
    "last": 14,
    "last_event_sequence": 120,
    "lines": [["stdout", "12 files"], ["stderr", "1 finding"]],
    "lost": "the object is gone",
    "lost_events": 9,
    "lost_runs": [RUN],
    "manifest": MANIFEST,
    "matched_us": AT_US,
    "missing": 1,
    "name": "security-scanner",
    "node": "scan",
    "nonce": "f3c1a7e0",
    "number": 3,
    "opened_us": AT_US + 4_000_000,
    "outcome": "succeeded",
    "output": FINDINGS,
    "outputs": {"passed": False},
    "partition": "run-0",
    "path": "ci.build.failed",
    "phase": "apply",
    "plan": PLAN,
    "policy": POLICY,
    "previous_marker_sequence": 115,
    "problems": [PROBLEM],
    "proposal": PROPOSAL,
    "queued_until_us": AT_US + 600_000_000,
    "raw": "eyJub3QiOiAianNvbiI=",
    "received_us": AT_US + 6_000_000,
    "reason": "reviewed with Grace",
    "reason_required": True,
    "recovered_us": AT_US + 7_000_000,
    "recovery": TASK,
    "requested_by": "token:ci",
    "requested_us": AT_US + 4_100_000,
    "reset": ["scan", "decide"],
    "retry_at_us": AT_US + 8_000_000,
    "roles": ["operator", "approver"],
    "run_id": RUN,
    "running_s": 20.0,
    "running_until_us": AT_US + 21_000_000,
    "runs": [
        {
            "run_id": RUN,
            "partition": "run-0",
            "workflow": "scan-and-tell",
            "definition_digest": DIGEST,
            "agents": {"security-scanner": AGENT_DIGEST},
            "inputs": {"path": "/srv/app"},
        }
    ],
    "scheduled_us": AT_US + 1_000_000,
    "sequence": 4_711,
    "settled": 1,
    "sha256": "b7" * 32,
    "size_bytes": 14,
    "standing": {"grace": {"roles": ["approver"], "groups": ["security"]}},
    "started_us": AT_US + 500_000,
    "store_n": 4_711,
    "stream": Stream.RUNS.value,
    "subject": "a subject of ours",
    "target": RUN,
    "task_id": TASK,
    "tenant": "acme",
    "title": "Ship it?",
    "to": "scan",
    # penstock: ignore[bandit:B105, hardcoded-secret] -- a sample
    "token": "6d1f",
    "traceparent": TRACE,
    "trigger_aggregate": TRIGGER,
    "trigger_id": TRIGGER_ID,
    "usage": USAGE,
    "user": "ada",
    "verdict": "approved",
    "workflow": "scan-and-tell",
}
BY_TYPE: dict[str, dict[str, Any]] = {
    "approval.approval_granted.v1": {"by": ["ada", "grace"]},
    "approval.approval_pushed_back.v1": {"by": ["ada"]},
    "approval.approval_rejected.v1": {"by": ["ada"]},
    "task.execute.v1": {"artifacts": [{"node": "scan", "artifact": ARTIFACT}]},
    "run.node_skipped.v1": {"reason": "upstream"},
    "executor.report_breaker.v1": BREAKER,
    "executor.breaker_changed.v1": BREAKER,
    "workflow.remove_workflow.v1": {"name": "scan-and-tell"},
    "workflow.workflow_removed.v1": {"name": "scan-and-tell"},
    "token.issue_token.v1": {"name": "ci"},
    "token.revoke_token.v1": {"name": "ci"},
    "token.token_issued.v1": {"name": "ci"},
    "token.token_revoked.v1": {"name": "ci"},
    "token.token_unchanged.v1": {"name": "ci"},
    "partition.message_parked.v1": {"code": "malformed", "detail": "message: Invalid JSON"},
}


def sample(message_type: str, model: type[BaseModel], *, full: bool) -> Wire:
    """Makes a message with all its fields, or with those only that it must have.

    Raises:
        LookupError: a field has no sample value yet; add one to `BY_NAME`.
    """
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not full and not field.is_required():
            continue
        own = BY_TYPE.get(message_type, {})
        if name not in own and name not in BY_NAME:
            raise LookupError(f"no sample value for {message_type}, field {name}")
        values[name] = own.get(name, BY_NAME.get(name))
    made = model.model_validate(values)
    assert isinstance(made, Wire)
    return made
