"""An approval as the gateway shows it, and how it is drawn."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from penstock_cli.approval_picture import show_approval
from penstock_contracts.approval.v1 import Proposal
from penstock_core.binding import bind

DIGEST = f"sha256:{'ab' * 32}"
DIFF = """\
diff --git a/shop/db.py b/shop/db.py
index 1111111..2222222 100644
--- a/shop/db.py
+++ b/shop/db.py
@@ -1,3 +1,3 @@ def find(name):
 import sqlite3
--- old comment that looks like a header
+++ new comment that looks like one
 done
diff --git a/logo.png b/logo.png
index 3333333..4444444 100644
GIT binary patch
literal 12
Tcmd;PN9VB`2pZ*DMwoMe2B4

literal 10
Rcmd;PN9VB`2pZ*DMwo

diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
"""


def an_approval(**more: Any) -> dict[str, Any]:
    """An approval as the gateway gives it."""
    policy = {"approvers": {"users": [], "groups": ["release"], "roles": []}, "quorum": 2,
              "separation": True, "reason_required": True, "push_back": ["patch"],
              "form": {"type": "object", "required": ["window"], "properties": {
                  "window": {"type": "string", "description": "when"}}}}  # fmt: skip
    plan = {
        "effect": {
            "kind": "git", "ref": "refs/heads/main", "message": "Close the hole", "diff": DIFF,
            "files": [
                {"path": "shop/db.py", "old_mode": "100644", "mode": "100644",
                 "old": "1" * 40, "new": "2" * 40},
                {"path": "new.py", "old_mode": None, "mode": "100644", "old": None,
                 "new": "2" * 40},
                {"path": "old.py", "old_mode": "100644", "mode": None, "old": "2" * 40,
                 "new": None},
                {"path": "run.sh", "old_mode": "100644", "mode": "100755", "old": "2" * 40,
                 "new": "2" * 40},
            ],
        },
        "base": {"ref": "refs/heads/main", "commit": "c0ffee" + "0" * 34, "files": {"a": None}},
        "summary": "2 files change",
    }  # fmt: skip
    return {
        "approval_id": "12345678-0000-8000-8000-000000000000", "status": "pending",
        "run_id": "6413a103-0000-8000-8000-000000000000", "workflow": "fix", "node": "patch",
        "attempt": 2, "title": "Land it?", "requested_by": "token:rita", "requested_us": 5,
        "expires_us": 1_800_000_000_000_000, "seconds_left": 125.0, "reminders": 2,
        "digest": DIGEST, "missing": 1, "quorum": 2, "policy": policy,
        "proposal": {"agent": "patcher", "agent_digest": DIGEST, "atomic": True, "plan": plan,
                     "input": {"repository_path": "/srv/shop"}},
        "votes": [
            {"user": "ada", "choice": "approve", "reason": "read it", "digest": DIGEST,
             "at_us": 6, "stands": True},
            {"user": "eve", "choice": "approve", "at_us": 7, "stands": False},
        ],
        "context": {
            "summary": {"total": {"high": 1, "low": 0}},
            "findings": [{"severity": "high", "file": "shop/db.py", "line": 3, "cwe": "CWE-89",
                          "message": "SQL from input"}],
            "empty": [], "note": {"ticket": "S-1"},
        },
        **more,
    }  # fmt: skip


def bound(item: dict[str, Any]) -> dict[str, Any]:
    """Give an approval whose binding is that of its proposal."""
    binding = bind(Proposal.model_validate(item["proposal"]))
    return {**item, "binding": binding.to_data(), "digest": binding.digest}


def drawn(item: dict[str, Any], **console: Any) -> str:
    paper = Console(file=io.StringIO(), width=120, **console)
    show_approval(bound(item), paper)
    return paper.file.getvalue()  # type: ignore[attr-defined]
