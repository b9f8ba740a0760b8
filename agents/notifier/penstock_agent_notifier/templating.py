"""Message templates: `{name}` and nothing more.

No expressions, attributes, indices or format specifications: a template comes from a workflow,
its values from the outside, and neither may reach into the program. Substitution is one pass, so
a value that looks like a placeholder stays as it is.
"""

import json
import re
from collections.abc import Mapping

MAX_VALUE_CHARS = 2_000
MAX_RESULT_CHARS = 24_000
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_-]{0,63})\}")


def render(template: str, values: Mapping[str, object]) -> tuple[str, list[str]]:
    """Fill a template.

    Args:
        template: `{name}` is replaced; `{{` and `}}` are literal braces; anything else stays.
        values: Strings are inserted as they are, everything else as JSON.

    Returns:
        The text, cut at `MAX_RESULT_CHARS`, and the names that had no value (left as they were:
        a message with a gap is better than none).
    """
    missing: list[str] = []

    def substitute(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        name = match[1]
        if name not in values:
            missing.append(name)
            return match[0]
        return _cut(_text(values[name]), MAX_VALUE_CHARS)

    return _cut(_PLACEHOLDER.sub(substitute, template), MAX_RESULT_CHARS), missing


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
