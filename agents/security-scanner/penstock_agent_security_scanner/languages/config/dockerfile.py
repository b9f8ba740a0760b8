"""Dockerfiles."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.secret_names import is_secret
from penstock_agent_security_scanner.languages.config.shell import in_shell

MAX_INSTRUCTIONS = 5_000
_WORDS = frozenset(
    [
        "FROM",
        "RUN",
        "CMD",
        "LABEL",
        "MAINTAINER",
        "EXPOSE",
        "ENV",
        "ADD",
        "COPY",
        "ENTRYPOINT",
        "VOLUME",
        "USER",
        "WORKDIR",
        "ARG",
        "ONBUILD",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "SHELL",
    ]
)
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_FLAG = re.compile(r"--[\w-]+(?:=(\S+))?\s+")
_PAIR = re.compile(r"""([\w.-]+)=("(?:\\.|[^"\\])*"|'[^']*'|(?:\\.|\S)+)""")
_REMOTE = re.compile(r"(?i)^(?:https?|ftp)://|^git@|\.git(?:#|$)")
_ARCHIVE = re.compile(r"(?i)\.(?:tar|tgz|tbz2?|txz|tar\.\w+|gz|xz|bz2|zst)$")
_ROOTS = frozenset(
    {"root", "0", "0:0", "root:root", "toor", "administrator", "containeradministrator"}
)
MAX_PORTS = 50


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction with its continuation lines."""

    word: str
    rest: str
    line: int
    lines: tuple[tuple[int, str], ...]


def scan_dockerfile(lines: list[str]) -> Iterator[tuple[Rule, int]]:
    """Rule and line of every weakness."""
    instructions = list(read_instructions(lines))
    if not any(item.word == "FROM" for item in instructions):
        return
    yield from _stages(instructions)
    for item in instructions:
        match item.word:
            case "ADD":
                yield from _add(item)
            case "COPY" if re.search(r"--chmod=[0-7]?[0-7][0-7][2367]\b", item.rest):
                yield rules.WIDE_MODE, item.line
            case "RUN":
                yield from _run(item)
            case "ENV" | "ARG" | "LABEL":
                yield from _pairs(item)
            case "EXPOSE" if set(item.rest.replace("/tcp", "").split()[:MAX_PORTS]) & {
                "22",
                "23",
                "3389",
            }:
                yield rules.SSH_PORT, item.line
            case "VOLUME" if "docker.sock" in item.rest:
                yield rules.HOST_SOCKET, item.line
            case "CMD" | "ENTRYPOINT" if re.match(r"\[?\s*\"?sudo\b", item.rest):
                yield rules.SUDO, item.line
            case _:
                pass


def read_instructions(lines: list[str]) -> Iterator[Instruction]:
    """Instructions with comments, continuations and here-documents put together."""
    index = count = 0
    while index < len(lines) and count < MAX_INSTRUCTIONS:
        held: list[tuple[int, str]] = []
        going = True
        while going and index < len(lines):
            line = lines[index].strip()
            index += 1
            if line.startswith("#") or not line:
                going = bool(held) and index < len(lines)
                continue
            going = line.endswith(("\\", "`"))
            held.append((index, line.rstrip("\\`").strip() if going else line))
        if not held:
            continue
        for end in _HEREDOC.findall(" ".join(text for _, text in held)):
            while index < len(lines) and lines[index].strip() != end:
                held.append((index + 1, lines[index].strip()))
                index += 1
            index += 1
        text = " ".join(line for _, line in held)
        word, _, rest = text.partition(" ")
        word = word.upper()
        if word == "ONBUILD":
            word, _, rest = rest.strip().partition(" ")
            word = word.upper()
        if word in _WORDS:
            count += 1
            yield Instruction(word, rest.strip(), held[0][0], tuple(held))


def _stages(instructions: list[Instruction]) -> Iterator[tuple[Rule, int]]:
    names: set[str] = set()
    user: Instruction | None = None
    last = ""
    users: dict[str, Instruction | None] = {}
    stage: Instruction | None = None
    name = ""
    for item in instructions:
        if item.word == "FROM":
            if name:
                users[name] = user
            image, name = _from(item)
            stage, last = item, image
            user = users.get(image.lower())
            if image.lower() not in names and _is_unpinned(image):
                yield rules.UNPINNED_IMAGE, item.line
            names.add(name)
        elif item.word == "USER":
            user = item
    if stage is None or (last.lower() == "scratch" and user is None):
        return
    if user is None:
        if "nonroot" not in last.lower() and "rootless" not in last.lower():
            yield rules.ROOT_IMAGE, stage.line
    elif user.rest.strip("\"'").lower() in _ROOTS:
        yield rules.ROOT_IMAGE, user.line


def _from(item: Instruction) -> tuple[str, str]:
    words = _FLAG.sub("", item.rest + " ").split()
    image = words[0] if words else ""
    named = len(words) >= 3 and words[1].lower() == "as"
    return image, words[2].lower() if named else ""


def _is_unpinned(image: str) -> bool:
    if not image or "@sha256:" in image or "$" in image or image.lower() == "scratch":
        return False
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return tag in ("", "latest")


def _add(item: Instruction) -> Iterator[tuple[Rule, int]]:
    flags = item.rest
    plain = _FLAG.sub("", item.rest + " ").strip()
    words = re.findall(r'"([^"]+)"', plain) if plain.startswith("[") else plain.split()
    for source in words[:-1]:
        if _REMOTE.search(source):
            if "--checksum" not in flags:
                yield rules.REMOTE_ADD, item.line
        elif not _ARCHIVE.search(source) and "$" not in source:
            yield rules.ADD, item.line


def _run(item: Instruction) -> Iterator[tuple[Rule, int]]:
    yield from in_shell((number, f"{text} \\") for number, text in item.lines)
    joined = item.rest
    if re.search(r"(?:^|[;&|]\s*|\bthen\s+)sudo\s", joined):
        for number, text in item.lines:
            if (
                re.search(r"(?:^|[;&|]\s*|\s)sudo\s", text)
                and "install" not in text.split("sudo")[0]
            ):
                yield rules.SUDO, number
                break


def _pairs(item: Instruction) -> Iterator[tuple[Rule, int]]:
    for number, text in item.lines:
        rest = text.partition(" ")[2] if number == item.line else text
        found = _PAIR.findall(rest)
        if not found and item.word == "ENV" and number == item.line:
            name, _, value = rest.strip().partition(" ")
            found = [(name, value)]
        for name, value in found:
            if item.word != "LABEL" and is_secret(name, value.strip("\"'")):
                yield rules.SECRET_IN_IMAGE, number
            off = (name == "NODE_TLS_REJECT_UNAUTHORIZED" and value.strip("\"'") == "0") or (
                name in ("PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY")
                and value.strip("\"'") in ("0", "true", "1")
                and (name, value.strip("\"'")) != ("PYTHONHTTPSVERIFY", "1")
            )
            if off:
                yield rules.TLS_OFF, number
    if item.word == "ARG" and "=" not in item.rest and is_secret(item.rest.strip(), "x1y2z3w4v5"):
        yield rules.SECRET_IN_IMAGE, item.line
