"""Task codes: a result is believed only with the code that its task was sent with."""

import hashlib
import hmac

CODE_HEX = 32  # 128 bits


class TaskCodeBook:
    """HMAC-SHA256 over the task id with the scheduler's own secret."""

    def __init__(self, secret: bytes) -> None:
        """Use `secret`, at least 32 bytes, known to schedulers only."""
        self._secret = secret

    def code(self, task_id: str) -> str:
        """Give the code of a task."""
        return hmac.new(self._secret, task_id.encode(), hashlib.sha256).hexdigest()[:CODE_HEX]

    def matches(self, task_id: str, code: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.code(task_id), code)
