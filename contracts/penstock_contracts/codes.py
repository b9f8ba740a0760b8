"""Stable error codes. Append only: a code once released keeps its meaning for ever."""

from enum import StrEnum


class Code(StrEnum):
    """Every code that an API answer, an event or a log line may carry."""

    # Messages and definitions
    MALFORMED = "malformed"  # not JSON, not a CloudEvent, or not the shape its type asks for
    TOO_LARGE = "too_large"  # over the limit the message names
    UNKNOWN_TYPE = "unknown_type"  # a message type nobody here understands
    INVALID_DEFINITION = "invalid_definition"  # see the list of problems beside it
    INVALID_INPUTS = "invalid_inputs"  # inputs do not fit the workflow's or the agent's schema
    UNKNOWN_WORKFLOW = "unknown_workflow"
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_RUN = "unknown_run"
    UNKNOWN_APPROVAL = "unknown_approval"
    NO_MATCH = "no_match"  # no workflow is triggered by this message
    # Answers over HTTP
    NOT_FOUND = "not_found"  # no such address
    RATE_LIMITED = "rate_limited"  # too many requests; `Retry-After` says when
    GONE = "gone"  # it was there; its retention time is over
    UNAVAILABLE = "unavailable"  # something behind the API does not answer; repeating is safe
    # Refusals of commands
    STALE = "stale"  # a copy, or an answer to something already settled
    ALREADY_ENDED = "already_ended"  # the run has ended
    ALREADY_DECIDED = "already_decided"  # the approval has been settled
    LATE = "late"  # arrived after the expiry
    NOT_ALLOWED = "not_allowed"  # the principal may not do this
    REASON_REQUIRED = "reason_required"
    CONFLICT = "conflict"  # the expected version is not the current one
    IN_USE = "in_use"  # something else still refers to it
    FORGED = "forged"  # a result without the task's own code
    CLAIMED = "claimed"  # another delivery holds the claim
    FROZEN = "frozen"  # the run waits for an operator after a parked message
    ALREADY_VOTED = "already_voted"  # one person, one vote
    SELF_APPROVAL = "self_approval"  # whoever asked for the run may not decide on it here
    INVALID_ANSWERS = "invalid_answers"  # the answers do not fit the gate's form
    NOT_PROPOSED = "not_proposed"  # the vote is about something other than what is proposed
    NO_PUSH_BACK = "no_push_back"  # the gate allows none, none to that node, or no more of them
    NOT_UNKNOWN = "not_unknown"  # the outcome of that attempt is known
    # Ends of attempts and runs
    AGENT_FAILED = "agent_failed"  # exit 10: the agent declares failure
    AGENT_CRASHED = "agent_crashed"  # any other exit code or a signal
    INVALID_OUTPUT = "invalid_output"  # the output does not fit the manifest
    OUTPUT_TOO_LARGE = "output_too_large"
    OUT_OF_MEMORY = "out_of_memory"
    ARTIFACT_REFUSED = "artifact_refused"  # too many or too large, no plain file, or a secret in it
    ARTIFACT_LOST = "artifact_lost"  # gone before it was durable, or not to be brought back
    TIMEOUT_QUEUED = "timeout_queued"
    TIMEOUT_RUNNING = "timeout_running"
    TIMEOUT_TOTAL = "timeout_total"
    TIMEOUT_RUN = "timeout_run"
    GRANT_REFUSED = "grant_refused"  # no grant, a forged or expired one, or one for another thing
    BASE_CHANGED = "base_changed"  # what the plan was made against is no longer so
    EFFECT_DIFFERS = "effect_differs"  # apply made something else than the plan says; discarded
    DID_NOT_HAPPEN = "did_not_happen"  # an operator found out that the effect did not happen
    UNKNOWN_OUTCOME = "unknown_outcome"  # death after the claim of a `once` agent
    SANDBOX_FAILED = "sandbox_failed"  # the sandbox itself could not start
    AGENT_UNAVAILABLE = "agent_unavailable"  # no such bundle, or another digest, on the executor
    WORKSPACE_REFUSED = "workspace_refused"  # a path outside the allowed roots
    IMAGE_REFUSED = "image_refused"  # this executor does not accept the image, or has it not
    SECRET_REFUSED = "secret_refused"  # noqa: S105 - not granted to the agent here, or unusable
    TEMPLATE_FAILED = "template_failed"  # a template could not be rendered with the values at hand
    CONDITION_FAILED = "condition_failed"  # a `when` or filter raised or gave no boolean
    DENIED = "denied"  # rejected by an approver
    EXPIRED = "expired"  # nobody decided in time
    CANCELLED = "cancelled"
    INVARIANT_BROKEN = "invariant_broken"  # a defect; the run is frozen
