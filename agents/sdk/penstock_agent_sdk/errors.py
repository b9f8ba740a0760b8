"""The one exception an agent raises on purpose."""

MAX_MESSAGE_CHARS = 2_000
MAX_CODE_CHARS = 64


class AgentError(Exception):
    """A failure the agent declares: it ends with exit code 10 and a structured error.

    Attributes:
        code: Stable, lower-case, underscored word a workflow can branch on.
        message: For a person; holds no secret and no payload. Cut at `MAX_MESSAGE_CHARS`.
        retryable: True when the same input may succeed later (a refused connection), False when
            it cannot (a malformed input).
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code[:MAX_CODE_CHARS]
        self.message = message[:MAX_MESSAGE_CHARS]
        self.retryable = retryable

    def as_output(self) -> dict[str, object]:
        """The content of the output file for this failure."""
        return {"error": {"code": self.code, "message": self.message, "retryable": self.retryable}}
