"""What a program takes where a variable of its environment is not set."""

import re
from collections.abc import Iterator

_Q = r"[\"'`]([^\"'`\n]{1,400})[\"'`]"
_DEFAULTS: tuple[re.Pattern[str], ...] = (
    re.compile(
        r"(?:getenv|environ\.get|env\.get|environ\.setdefault|getEnv|GetEnv|env_or|getenv_default|lookup_env|envOr|env_var|config"
        r"|env|env\.str|env\.string|ENV\.fetch|getOrDefault|get_env|Getenv|Env\.get|System\.getProperty|GetEnvironmentVariable)"
        rf"\(\s*[\"']([\w.-]+)[\"']\s*,\s*(?:default\s*=\s*|default:\s*)?[rbfu]?{_Q}"
    ),
    re.compile(rf"process\.env(?:\.(\w+)|\[[\"'](\w+)[\"']\])\s*(?:\|\||\?\?)\s*{_Q}"),
    re.compile(rf"import\.meta\.env\.(\w+)\s*(?:\|\||\?\?)\s*{_Q}"),
    re.compile(
        r"(?:getenv|environ\.get|ENV\[|_ENV\[|env|Getenv|GetEnvironmentVariable|System\.getenv|env::var)\(?\s*"
        rf"[\"'](\w+)[\"']\s*[\])]\s*(?:or|\|\||\?\?|\?:)\s*{_Q}"
    ),
    re.compile(rf"env::var\([\"'](\w+)[\"']\)\s*\.unwrap_or(?:_else)?\([^\"']{{0,20}}{_Q}"),
    # `:?` and `:+` of a shell are no defaults.
    re.compile(r"\$\{([A-Za-z_][\w.-]{0,80}):(?![?+])[-=]?([^}\s\"'$]{1,400})\}"),
    re.compile(r"\$\{([A-Z_][A-Z0-9_]{0,80})-([^}\s\"'$]{1,400})\}"),
)


def defaults_in(line: str) -> Iterator[tuple[str, str]]:
    """Names of variables on a line, each with the value written there for want of it."""
    lowered = line.lower()
    if "env" not in lowered and "${" not in line and "config(" not in lowered:
        return
    for pattern in _DEFAULTS:
        for match in pattern.finditer(line):
            groups = [one for one in match.groups() if one]
            if len(groups) == 2:
                yield groups[0], groups[1]
