"""Where credentials are kept by name: environments, configuration, defaults, assignments."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from penstock_agent_sdk.credentials.defaults import defaults_in
from penstock_agent_sdk.credentials.file_kinds import (
    DATA,
    DOCKERFILE,
    MARKUP,
    PAIRS,
    PROSE,
    SHELL,
    YAML,
    is_env_file,
    is_lock,
)
from penstock_agent_sdk.credentials.names import MAY_SPEAK, is_credential_name

Place = Literal["environment", "configuration", "default", "assignment"]
MAX_LINE_CHARS = 2_000
OPTION = "option"
"""The name under which an option of a command line is told."""

# The assignment pattern is tried at every name of a line; longer lines are data.
MAX_CODE_CHARS = 600

_PAIR = re.compile(
    r"^\s*(?:export\s+|set\s+|setx\s+|declare\s+-x\s+|Environment=[\"']?"
    r"|-\s+[\"']?)?([A-Za-z_/:@][\w./:@-]*)\s*=\s*(.+?)\s*$"
)
_COLON_PAIR = re.compile(r"^\s*(?:-\s+)?[\"']?([A-Za-z_][\w.-]*)[\"']?\s*:\s*(.+?)\s*$")
_BLANK_PAIR = re.compile(r"^\s*(?:set\s+)?([A-Za-z_][\w-]*)\s+[\"']?([^\s\"'=]+)[\"']?\s*;?\s*$")
_YAML_PAIR = re.compile(r"^\s*(?:-\s+)?[\"']?([A-Za-z_][\w. -]*?)[\"']?\s*:\s+(.+?)\s*$")
_LISTED = re.compile(r"^\s*-\s+[\"']?(?:--?)?([A-Za-z_][\w.-]*)=(.+?)[\"']?\s*$")
_NAME_VALUE = re.compile(
    r"^\s*(?:-\s+)?[\"']?(?:name|key|Name|Key)[\"']?\s*:\s*[\"']?([A-Za-z_][\w.-]*)[\"']?,?\s*$"
)
_VALUE = re.compile(r"^\s*[\"']?(?:value|Value)[\"']?\s*:\s*(.+?),?\s*$")
_DOCKER = re.compile(r"^\s*(?:ENV|ARG|LABEL)\s+(.*)$", re.IGNORECASE)
_DOCKER_PAIR = re.compile(r"([A-Za-z_]\w*)=(\"(?:[^\"\\]|\\.){0,400}\"|'[^']{0,400}'|\S{1,400})")
_OLD_DOCKER = re.compile(r"([A-Za-z_]\w*)\s+(\S+)$")
_Q = r"[\"'`]([^\"'`\n]{1,400})[\"'`]"
_ASSIGNED = re.compile(
    r"(?<![\w.$-])[$@]?[\"'`]?([A-Za-z_][\w.-]{1,80})[\"'`]?\]?\s{0,8}"
    r"(?::\s*[A-Za-z_][\w\[\], |.<>?*&]{0,40})?\s{0,8}(?::=|=>|="
    r"|:)\s{0,8}(?:new\s+\w+\()?[rbfuLR@$]{0,2}"
    rf"{_Q}"
)
_CALLED = re.compile(
    rf"(?<![\w])((?:set|with|add|put|define|setProperty|setHeader|header|login|connect"
    rf"|authenticate|auth|basic_auth|basicAuth"
    rf"|PasswordAuthentication|UsernamePasswordCredentials|createConnection"
    rf"|getConnection)\w*)\(\s*(?:[\"']([^\"'\n]{{1,100}})[\"']\s*,\s*)?{_Q}"
)
_XML_ELEMENT = re.compile(r"<([A-Za-z_][\w.:-]*)(?:\s[^<>]{0,200})?>([^<]{1,400})</\1\s*>")
_XML_PAIR = re.compile(
    r"(?:name|key|Name|Key"
    r"|id)=\"([^\"]{1,100})\"\s+(?:[a-z]+=\"[^\"]{0,60}\"\s+){0,2}(?:value"
    r"|connectionString|Value)=\"([^\"]{1,400})\""
)
_XML_ATTRIBUTE = re.compile(r"\s([A-Za-z_][\w.:-]*)=\"([^\"]{1,400})\"")
_CONNECTION = re.compile(
    r"(?i)(?:^|[;\"'\s?&])(password|pwd|sharedaccesskey|accountkey"
    r"|secret)\s*=\s*([^;\"'\s&]{4,200})"
)
_OPTION = re.compile(
    r"(?:^|\s)--?(?:[a-z-]*(?:password|passwd|secret|token|api-key|apikey"
    r"|access-key)[a-z-]*)(?:=|\s+)[\"']?([^\s\"']{4,200})"
)
_USER = re.compile(r"(?:^|\s)(?:-u|--user)[ =]?[\"']?[\w.@-]{1,60}:([^\s\"'@:]{4,200})")
_STATEMENT = re.compile(
    r"(?i)\b(?:identified\s+(?:with\s+\S{1,40}\s+)?(?:by|as)|(?:role|user|login)\b[^;'\n]{1,80}\bpassword"
    r"|\bset\s+password\b[^;'\n]{0,80}=)\s*=?\s*(?:password\(\s*)?\\?'([^'\n\\]{4,200})\\?'"
)
_HEADER = re.compile(
    r"(?i)(?:^|[\"'\s])((?:x-)?(?:api-key|auth-token|access-token|vault-token"
    r"|private-token|authorization|api-token))[\"']?\s*[:,=]"
    r"\s*[\"']?(?:(?:bearer|token|basic|apikey|key)\s+)?([^\s\"',}]{12,400})"
)
_SHELL_PAIR = re.compile(
    r"^\s*(?:export\s+|local\s+|readonly\s+)?([A-Za-z_][A-Za-z0-9_]*)=([^\s\"'$(`]{1,200})\s*$"
)
_LOUD_PAIR = re.compile(r"^\s*(?:export\s+)?([A-Z_][A-Z0-9_]*)=([^\s\"'$(`]{1,200})(?<!,)\s*$")
_COMPARED = re.compile(
    r"[=!]==?\s*$|\b(?:if|elif|assert|case|when|expect|assertEquals?|in)\b[^=]*$"
)
_COMMENT = ("<!--",)


@dataclass(frozen=True, slots=True)
class Kept:
    """A value under a credential's name."""

    place: Place
    name: str
    value: str
    line: int


def kept_in(name: str, lines: Sequence[str]) -> Iterator[Kept]:
    """Values under names of credentials, by the kind of file.

    A line may be given more than once, when it can be read in several ways.
    """
    if is_lock(name):
        return
    prose = PROSE.search(name) is not None
    reader = _reader(name)
    pending = ""
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_CHARS:
            continue
        named = _NAME_VALUE.match(line)
        value = _VALUE.match(line) if pending else None
        if value:
            yield from _named("environment", pending, value[1], number)
        pending = named[1] if named else ""
        if not MAY_SPEAK.search(line) or line.lstrip().startswith(_COMMENT):
            continue
        if prose:
            yield from _commands(line, number)
            continue
        for kept_name, kept_value in defaults_in(line):
            yield from _named("default", kept_name, kept_value, number)
        yield from reader(line, number)
        yield from _commands(line, number)


def _reader(name: str):  # noqa: ANN202 (one of the functions below)
    if DOCKERFILE.search(name):
        return _docker
    if YAML.search(name):
        return _yaml
    if is_env_file(name) or PAIRS.search(name):
        return _pairs
    if SHELL.search(name):
        return _shell
    if DATA.search(name):
        return _data
    if MARKUP.search(name):
        return _markup
    if "." not in name.rpartition("/")[2].lstrip("."):
        return _unknown
    return _code


def _named(place: Place, name: str, value: str, line: int) -> Iterator[Kept]:
    if is_credential_name(name):
        yield Kept(place, name, _bare(value), line)


def _bare(value: str) -> str:
    text = value.strip()
    quoted = re.match(r"([\"'])(.*?)(?<!\\)\1", text)
    if quoted:
        return quoted[2]
    return re.split(r"\s+[#;]", text)[0].rstrip(",\"'")


def _pairs(line: str, number: int) -> Iterator[Kept]:
    if line.lstrip().startswith(("#", ";", "//")):
        return
    pair = _PAIR.match(line)
    if pair:
        yield from _named("environment", pair[1].rpartition(":")[2], pair[2], number)
        yield from _connection(pair[2], number)
        return
    pair = _COLON_PAIR.match(line) or _BLANK_PAIR.match(line)
    if pair:
        yield from _named("environment", pair[1], pair[2], number)
    if "<" in line:
        yield from _markup(line, number)


def _yaml(line: str, number: int) -> Iterator[Kept]:
    if line.lstrip().startswith("#"):
        return
    listed = _LISTED.match(line)
    pair = _YAML_PAIR.match(line)
    if listed:
        yield from _named("environment", listed[1], listed[2], number)
    elif pair and pair[2][:1] not in ("|", ">", "&", "*", "!", "[", "{"):
        yield from _named("configuration", pair[1].replace(" ", "_"), pair[2], number)
        yield from _connection(pair[2], number)
    elif pair and pair[2][:1] == "{":
        yield from _code(pair[2], number)
    for match in re.finditer(r"\bexport\s+(\w+)=(\S+)", line):
        yield from _named("environment", match[1], match[2], number)


def _docker(line: str, number: int) -> Iterator[Kept]:
    if line.lstrip().startswith("#"):
        return
    match = _DOCKER.match(line)
    body = match[1] if match else line if _DOCKER_PAIR.match(line.strip()) else ""
    pairs = list(_DOCKER_PAIR.finditer(body))
    for pair in pairs:
        yield from _named("environment", pair[1], pair[2], number)
    old = _OLD_DOCKER.match(body.strip())
    if old and not pairs:
        yield from _named("environment", old[1], old[2], number)


def _data(line: str, number: int) -> Iterator[Kept]:
    for match in _ASSIGNED.finditer(line):
        yield from _named("configuration", match[1], match[2], number)
        yield from _connection(match[2], number)


def _markup(line: str, number: int) -> Iterator[Kept]:
    for pattern in (_XML_ELEMENT, _XML_PAIR, _XML_ATTRIBUTE):
        for match in pattern.finditer(line):
            yield from _named("configuration", match[1], match[2], number)
            if "=" in match[2]:
                yield from _connection(match[2], number)


def _unknown(line: str, number: int) -> Iterator[Kept]:
    """A file without an extension: a script, or settings of a program."""
    if line.lstrip().startswith(("#", ";", "//")):
        return
    if '"' in line or "'" in line:
        yield from _code(line, number)
    pair = _PAIR.match(line) or _COLON_PAIR.match(line) or _BLANK_PAIR.match(line)
    if pair and "(" not in pair[2]:
        yield from _named("environment", pair[1], pair[2], number)


def _shell(line: str, number: int) -> Iterator[Kept]:
    yield from _code(line, number, in_shell=True)


def _code(line: str, number: int, *, in_shell: bool = False) -> Iterator[Kept]:
    if len(line) > MAX_CODE_CHARS:
        return
    stripped = line.lstrip()
    if stripped.startswith(("* ", "///")):
        return
    for match in _ASSIGNED.finditer(line):
        if _COMPARED.search(line[: match.start()]) and "=" not in match[0][len(match[1]) :][:3]:
            continue
        behind = line[match.end() :].lstrip()
        if behind.startswith(("+", "%", ".format", "in ", "?", ".join")):
            continue
        yield from _named("assignment", match[1], match[2], number)
        if "=" in match[2]:
            yield from _connection(match[2], number)
    for match in _CALLED.finditer(line):
        yield from _called(match, number)
    if "<" in line and "</" in line:
        yield from _markup(line, number)
    # Behind a lower-case name stands the value of an argument, but in a shell.
    shell = (_SHELL_PAIR if in_shell else _LOUD_PAIR).match(line)
    if shell:
        yield from _named("environment", shell[1], shell[2], number)


def _called(match: re.Match[str], number: int) -> Iterator[Kept]:
    verb, first, second = match[1], match[2], match[3]
    lowered = verb.lower()
    if first is None:
        yield from _named(
            "assignment", re.sub(r"^(?:set|with|add|put)_?", "", verb), second, number
        )
    elif re.match(r"(?:login|connect|authenticate|auth|basic|passwordauth|usernamepass)", lowered):
        yield Kept("assignment", "password", second, number)
    else:
        yield from _named("assignment", first, second, number)


def _connection(text: str, number: int) -> Iterator[Kept]:
    """`Server=..;Password=..` of database drivers, and parameters of addresses."""
    if ";" not in text and "?" not in text and "=" not in text:
        return
    for match in _CONNECTION.finditer(text):
        yield Kept("configuration", match[1], match[2], number)


def _commands(line: str, number: int) -> Iterator[Kept]:
    """Options of command lines, headers of requests, and statements that make a login."""
    for match in _STATEMENT.finditer(line):
        yield Kept("configuration", "password", match[1], number)
    if "-" not in line and ":" not in line and "=" not in line:
        return
    for pattern in (_OPTION, _USER):
        for match in pattern.finditer(line):
            yield Kept("configuration", OPTION, match[1], number)
    for match in _HEADER.finditer(line):
        yield Kept("assignment", match[1], match[2], number)
