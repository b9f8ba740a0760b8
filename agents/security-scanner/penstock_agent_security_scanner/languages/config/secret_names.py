"""Settings that hold a secret, by their name and value."""

import re

_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|private_?key|secret_?key"
    r"|access_?key|auth_?key|credentials?|encryption_?key)(?:$|[_.-]?\d*$)|password$|secret$|apikey$"
    r"|(?i:aws_secret_access_key|github_token|npm_token)"
)
_NOT = re.compile(
    r"(?i)(?:file|path|dir|name|url|uri|length|policy|expir\w*|ttl|id|enabled?|required|arn|ref)$|^no_"
)
_NO_VALUE = re.compile(
    r"(?i)^(?:\$.*|<.*>|\{\{?.*\}?\}|%.*%|x+|\*+|\.+|your[-_ ].*|example|none|null|true|false|todo"
    r"|placeholder|template|/.*|\d{1,2}|yes|no|random|required|vault:.*|arn:.*|file:.*)?$"
)
MIN_CHARS = 3


def is_secret(name: str, value: object) -> bool:
    """Whether a setting of this name holds a secret with this value."""
    if not isinstance(value, str) or len(value) < MIN_CHARS or _NO_VALUE.match(value):
        return False
    if "${" in value or "$(" in value:
        return False
    return _NAME.search(name) is not None and _NOT.search(name) is None
