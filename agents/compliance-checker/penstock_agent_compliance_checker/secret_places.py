"""Where credentials are kept by name: .env files, environments, defaults, assignments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from penstock_agent_compliance_checker.secret_values import is_credential_name

Place = Literal["environment", "default", "assignment"]
MAX_LINE_CHARS = 600

_SAMPLE = re.compile(
    r"(?i)(?:example|sample|template|dist|tmpl|tpl|default|defaults|schema|ci|test|testing)$"
)
_ENV_FILE = re.compile(r"(?:^|/)(?:\.env(?:\.[\w.-]+)?|[\w-]+\.env|\.envrc)$")
_DOCKERFILE = re.compile(r"(?i)(?:^|/)(?:docker|container)file(?:\.[\w-]+)?$|\.dockerfile$")
_CONFIGURATION = re.compile(
    r"(?i)\.(?:ini|cfg|cnf|conf|properties|toml|tfvars|config|env|netrc|npmrc|pypirc)$"
)
_YAML = re.compile(r"(?i)\.ya?ml$")
_PROSE = re.compile(
    r"(?i)\.(?:md|rst|txt|adoc|html?|csv|log|svg|po|ipynb|snap|lock|sum|map)$|package-lock\.json$|\.min\.js$"
)
_CODE = re.compile(
    r"(?i)\.(?:py|pyw|js|jsx|ts|tsx|mjs|cjs|java|kt|kts|go|rb|php|cs|scala|rs|swift|sh|bash|zsh|ps1|groovy|tf|c|cc|cpp|h|lua|pl|ex|exs|dart|vue|gradle|json|json5|xml)$"
)

_PAIR = re.compile(r"^\s*(?:export\s+|set\s+|-\s+[\"']?)?([A-Za-z_][\w.-]*)\s*=\s*(.+?)\s*$")
_YAML_PAIR = re.compile(r"^\s*(?:-\s+)?[\"']?([A-Za-z_][\w.-]*)[\"']?\s*:\s+(.+?)\s*$")
_NAME_VALUE = re.compile(r"^\s*(?:-\s+)?name\s*:\s*[\"']?([A-Za-z_][\w.-]*)[\"']?\s*$")
_VALUE = re.compile(r"^\s*value\s*:\s*(.+?)\s*$")
_DOCKER = re.compile(r"^\s*(?:ENV|ARG|LABEL)\s+(.*)$", re.IGNORECASE)
_DOCKER_PAIR = re.compile(r"([A-Za-z_]\w*)=(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\S+)")
_QUOTED = r"[\"'`]([^\"'`\n]{1,400})[\"'`]"
_DEFAULTS: tuple[re.Pattern[str], ...] = (
    re.compile(
        rf"(?:getenv|environ\.get|env\.get|environ\.setdefault|getEnv|GetEnv|env_or|getenv_default|lookup_env|envOr|env_var|config|env|env\.str|env\.string|ENV\.fetch|getOrDefault|get_env|os\.Getenv|decouple\.config|Env\.get|System\.getProperty|GetEnvironmentVariable)\(\s*[\"']([\w.-]+)[\"']\s*,\s*(?:default\s*=\s*|default:\s*)?[rbfu]?{_QUOTED}"
    ),
    re.compile(rf"process\.env(?:\.(\w+)|\[[\"'](\w+)[\"']\])\s*(?:\|\||\?\?)\s*{_QUOTED}"),
    re.compile(rf"import\.meta\.env\.(\w+)\s*(?:\|\||\?\?)\s*{_QUOTED}"),
    re.compile(
        rf"(?:getenv|environ\.get|ENV\[|_ENV\[|env|Getenv|GetEnvironmentVariable|System\.getenv|env::var)\(?\s*[\"'](\w+)[\"']\s*[\])]\s*(?:or|\|\||\?\?|\?:)\s*{_QUOTED}"
    ),
    re.compile(rf"env::var\([\"'](\w+)[\"']\)\s*\.unwrap_or(?:_else)?\([^\"']{{0,20}}{_QUOTED}"),
    re.compile(r"\$\{([A-Za-z_][\w.]*)(?::-|:(?![?+=-])|-)([^}\s\"']{1,400})\}"),
    re.compile(rf"Field\(\s*default\s*=\s*()({_QUOTED})"),
)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])[\"']?([A-Za-z_][\w.-]{{1,80}})[\"']?\]?\s*(?::\s*[A-Za-z_][\w\[\], |.]{{0,40}}\s*)?(?:=|:=|:|=>)\s*[rbfu]?{_QUOTED}"  # noqa: E501
)
_DEFINED = re.compile(rf"\bdefine\(\s*[\"'](\w+)[\"']\s*,\s*{_QUOTED}")
_XML = re.compile(
    r"<([A-Za-z_][\w.-]*)>([^<]{1,400})</\1>|(?:name|key)=\"([^\"]+)\"\s+value=\"([^\"]*)\""
)
_COMPARED = re.compile(r"[=!]==?\s*$|\b(?:if|elif|assert|case|when|expect)\b")


# A line without any of these has no credential's name on it.
_SPEAKS = re.compile(r"(?i)pass|pwd|secret|token|key|credential|dsn|webhook|conn")


@dataclass(frozen=True, slots=True)
class Kept:
    """A value under a credential's name."""

    place: Place
    name: str
    value: str
    line: int


def is_env_file(name: str) -> bool:
    """Whether a file is one that is read into an environment."""
    return bool(_ENV_FILE.search(name))


def is_sample(name: str) -> bool:
    """Whether an env file is there to be copied and filled in."""
    base = name.rpartition("/")[2].removesuffix(".env")
    return any(_SAMPLE.search(part) for part in re.split(r"[._-]", base) if part)


def kept_in(name: str, lines: list[str]) -> Iterator[Kept]:
    """Values under names of credentials, by the kind of file."""
    if _PROSE.search(name):
        return
    plain = is_env_file(name) or bool(_CONFIGURATION.search(name))
    yaml, docker = bool(_YAML.search(name)), bool(_DOCKERFILE.search(name))
    code = bool(_CODE.search(name)) or name.endswith("Jenkinsfile")
    pending = ""
    if not _SPEAKS.search("\n".join(lines)):
        return
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_CHARS or line.lstrip().startswith(("#", "//", "*", "<!--")):
            continue
        if not yaml and not _SPEAKS.search(line):
            continue
        yield from _defaults(line, number)
        if docker:
            yield from _docker(line, number)
        elif yaml:
            named = _NAME_VALUE.match(line)
            value = _VALUE.match(line)
            if value and pending:
                yield from _named("environment", pending, value[1], number)
            pending = named[1] if named else ""
            yield from _yaml(line, number)
        elif plain:
            pair = _PAIR.match(line) or _YAML_PAIR.match(line)
            if pair:
                yield from _named("environment", pair[1], pair[2], number)
        elif code:
            yield from _assigned(line, number)


def _named(place: Place, name: str, value: str, line: int) -> Iterator[Kept]:
    if is_credential_name(name):
        yield Kept(place, name, _bare(value), line)


def _bare(value: str) -> str:
    text = value.strip()
    quoted = re.match(r"([\"'])(.*?)(?<!\\)\1", text)
    if quoted:
        return quoted[2]
    return re.split(r"\s+#", text)[0].rstrip(",\"'")


def _yaml(line: str, number: int) -> Iterator[Kept]:
    pair = _YAML_PAIR.match(line)
    listed = re.match(r"^\s*-\s+[\"']?([A-Za-z_]\w*)=(.+?)[\"']?\s*$", line)
    if listed:
        yield from _named("environment", listed[1], listed[2], number)
    elif pair and pair[2][:1] not in ("|", ">", "&", "*", "!", "[", "{"):
        yield from _named("environment", pair[1], pair[2], number)
    for match in re.finditer(r"\bexport\s+(\w+)=(\S+)", line):
        yield from _named("environment", match[1], match[2], number)


def _docker(line: str, number: int) -> Iterator[Kept]:
    match = _DOCKER.match(line)
    body = match[1] if match else line if _DOCKER_PAIR.match(line.strip()) else ""
    found = False
    for pair in _DOCKER_PAIR.finditer(body):
        found = True
        yield from _named("environment", pair[1], pair[2], number)
    old = re.match(r"([A-Za-z_]\w*)\s+(\S+)$", body.strip())
    if old and not found:
        yield from _named("environment", old[1], old[2], number)


def _defaults(line: str, number: int) -> Iterator[Kept]:
    if "env" not in line.lower() and "${" not in line and "config(" not in line:
        return
    for pattern in _DEFAULTS[:-1]:
        for match in pattern.finditer(line):
            groups = [one for one in match.groups() if one]
            if len(groups) >= 2:
                yield from _named("default", groups[0], groups[-1], number)


def _assigned(line: str, number: int) -> Iterator[Kept]:
    if '"' not in line and "'" not in line and "`" not in line and "<" not in line:
        yield from _shell(line, number)
        return
    if not _SPEAKS.search(line):
        return
    for match in _ASSIGNED.finditer(line):
        if _COMPARED.search(line[: match.start()]) and "=" not in match[0].split(match[1])[1][:2]:
            continue
        behind = line[match.end() :].lstrip()
        if behind.startswith(("+", "%", ".format", "in ")):
            continue
        yield from _named("assignment", match[1], match[2], number)
    for match in _DEFINED.finditer(line):
        yield from _named("assignment", match[1], match[2], number)
    for match in _XML.finditer(line):
        name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        yield from _named("environment", name, value, number)
    yield from _shell(line, number)


def _shell(line: str, number: int) -> Iterator[Kept]:
    shell = re.match(r"^\s*(?:export\s+)?([A-Z_][A-Z0-9_]*)=([^\s\"'$(]+)\s*$", line)
    if shell:
        yield from _named("environment", shell[1], shell[2], number)
