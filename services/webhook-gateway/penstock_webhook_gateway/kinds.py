"""Kinds of rows in the read model."""

from enum import StrEnum


class View(StrEnum):
    """What a row is.

    RUN and NODE bodies are exactly the snapshot documents of the core, so that the hash of what
    is served can be compared with the hash of what the store folds to.
    """

    RUN = "run"
    NODE = "node"  # id <run>/<node>, parent the run
    APPROVAL = "approval"  # parent the run
    WORKFLOW = "workflow"  # id the name
    DEFINITION = "definition"  # id the digest
    AGENT = "agent"  # id the name
    MANIFEST = "manifest"  # id the digest
    TOKEN = "token"  # id the hash; system tenant  # noqa: S105 - a kind of row
    TRIGGER = "trigger"
    ANSWER = "answer"  # id that of a command of somebody's, parent its aggregate
    DEAD = "dead"
    ARTIFACT = "artifact"  # id <digest>/<run>/<node>/<name>, parent the run
    EXECUTOR = "executor"  # id its name; only those whose breaker has ever opened


def node_row_id(run_id: str, node: str) -> str:
    """Id of a node's row."""
    return f"{run_id}/{node}"


def artifact_row_id(digest: str, run_id: str, node: str, name: str) -> str:
    """Id of an artifact's row: found by the digest alone."""
    return f"{digest}/{run_id}/{node}/{name}"
