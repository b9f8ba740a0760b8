"""What a decider answers, and what it is told beside the command."""

from dataclasses import dataclass, field

from penstock_contracts.codes import Code
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_contracts.workflow.v1 import Problem
from penstock_core.catalog.library import Library
from penstock_core.effects import Effect


@dataclass(frozen=True, slots=True)
class Context:
    """Circumstances of one decision; there is no other source of time or chance.

    Attributes:
        now_us: server time of the message, or the due time of a timer.
        command_id: id of the message; the events' causation id.
        actor: who asks, as the publisher's credentials allow it to say.
        library: agents and workflows as they stand; only the catalog is given them.
        run_partitions: how many partitions new runs are spread over.
    """

    now_us: int
    command_id: str = ""
    actor: str = ""
    tenant: str = DEFAULT_TENANT
    traceparent: str | None = None
    library: Library = Library()
    run_partitions: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to commit, and replies that follow from no event (answers given again).

    Attributes:
        states: the state after each event, where deciding has made them anyway; whoever commits
            may use them instead of applying the events again. Empty: they were not made.
    """

    events: tuple[Wire, ...] = ()
    replies: tuple[Effect, ...] = ()
    states: tuple[object, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal that its sender is to learn of: committed once as `CommandRejected`."""

    code: Code
    detail: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """A copy, or an answer to something settled: only counted, by `code`."""

    code: Code
    replies: tuple[Effect, ...] = ()


Outcome = Decision | Rejection | Stale


class BrokenInvariant(Exception):
    """A stored history or a command contradicts what must hold: a defect, never bad input."""
