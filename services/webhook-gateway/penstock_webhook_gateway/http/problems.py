"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence

from aiohttp import web
from pydantic_core import to_json

from penstock_contracts.codes import Code

CONTENT_TYPE = "application/problem+json"
STATUS_OF: Mapping[str, int] = {
    Code.MALFORMED: 400,
    Code.INVALID_DEFINITION: 422,
    Code.INVALID_INPUTS: 422,
    Code.CONDITION_FAILED: 422,
    Code.TEMPLATE_FAILED: 422,
    Code.UNKNOWN_WORKFLOW: 404,
    Code.UNKNOWN_AGENT: 404,
    Code.UNKNOWN_RUN: 404,
    Code.UNKNOWN_APPROVAL: 404,
    Code.NO_MATCH: 404,
    Code.ALREADY_ENDED: 409,
    Code.ALREADY_DECIDED: 409,
    Code.CONFLICT: 409,
    Code.IN_USE: 409,
    Code.STALE: 409,
    Code.LATE: 409,
    Code.FROZEN: 409,
    Code.NOT_ALLOWED: 403,
    Code.REASON_REQUIRED: 422,
    Code.ALREADY_VOTED: 409,
    Code.SELF_APPROVAL: 403,
    Code.INVALID_ANSWERS: 422,
    Code.NOT_PROPOSED: 409,
    Code.NO_PUSH_BACK: 409,
    Code.NOT_UNKNOWN: 409,
    Code.TOO_LARGE: 413,
}
_TITLES = {
    400: "The request cannot be understood",
    401: "Authentication is required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "In conflict with the current state",
    413: "Too large",
    415: "Only JSON is accepted",
    422: "The request was understood but cannot be accepted",
    429: "Too many requests",
    500: "A defect",
    503: "Not available at the moment",
    504: "No answer in time",
}


class Problem(Exception):
    """A refusal on its way to the client."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        problems: Sequence[Mapping[str, object]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Refuse with an HTTP status, a stable code and a sentence that says how to mend it.

        What programs need beside these (RFC 9457: extension members) goes into `more`.
        """
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.problems = problems
        self.headers = headers or {}
        self.more = more or {}


def refused(code: str, detail: str, problems: Sequence[Mapping[str, object]] = ()) -> Problem:
    """Give the problem for a command that a service has refused."""
    return Problem(STATUS_OF.get(code, 400), code, detail, problems=problems)


def response(problem: Problem, instance: str) -> web.Response:
    """Render a problem."""
    body: dict[str, object] = {
        **problem.more,
        "type": f"urn:penstock:problem:{problem.code}",
        "title": _TITLES.get(problem.status, "Refused"),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "instance": instance,
    }
    if problem.problems:
        body["problems"] = list(problem.problems)
    return web.Response(
        body=to_json(body),
        status=problem.status,
        content_type=CONTENT_TYPE,
        headers=dict(problem.headers),
    )
