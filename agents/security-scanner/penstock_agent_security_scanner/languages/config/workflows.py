"""Workflows and actions of GitHub Actions."""

import re
from collections.abc import Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.secret_names import is_secret
from penstock_agent_security_scanner.languages.config.shell import in_shell

Found = Iterator[tuple[Rule, int]]

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
# What somebody without rights here can choose.
_UNTRUSTED = re.compile(
    r"github\.(?:event\.(?:issue\.(?:title|body)|pull_request\.(?:title|body|head\.(?:ref|label|repo\.[\w.]+))"
    r"|comment\.body|review\.body|review_comment\.body|discussion\.(?:title|body)|pages\S*\.page_name"
    r"|commits\S*\.(?:message|author\.(?:email|name))|head_commit\.(?:message|author\.(?:email|name))"
    r"|workflow_run\.(?:head_branch|head_commit\.(?:message|author\.\w+)|display_title|pull_requests\S*\.head\.ref)"
    r"|client_payload(?:\.[\w.]+)?)"
    r"|head_ref)"
)
_INPUT = re.compile(r"(?:^|[\s(!])(?:inputs\.[\w-]+|github\.event\.inputs\.[\w-]+)")
_HEAD = re.compile(
    r"github\.event\.pull_request\.(?:head|merge_commit)|github\.head_ref|refs/pull/|workflow_run\.head|github\.event\.number|steps\..*\.(?:head|ref|sha)|issue\.number"
)
_PINNED = re.compile(r"@[0-9a-f]{40}$|@sha256:")
_OURS = ("actions/", "github/", "./", "docker://")
_STRANGERS = frozenset({"pull_request_target", "workflow_run", "issue_comment"})
MAX_STEPS = 2_000


def scan_workflow(document: Part) -> Found:
    """Rule and line of every weakness in a workflow or an action."""
    events = _events(document)
    yield from _permissions(document)
    yield from _environment(document)
    for _, job in document.pairs("jobs"):
        if job.keys is None:
            continue
        yield from _permissions(job)
        yield from _environment(job)
        if job.text("secrets") == "inherit":
            yield rules.ALL_SECRETS, job.line_of("secrets")
        yield from _used(job)
        yield from _credentials(job)
        for step in job.each("steps")[:MAX_STEPS]:
            yield from _step(step, events)
    for step in document.each("runs", "steps")[:MAX_STEPS]:
        yield from _step(step, events)


def _events(document: Part) -> set[str]:
    # YAML 1.1 reads the key `on` as true; here it keeps its text.
    part = document.get("on") or document.get("true")
    if part is None:
        return set()
    if part.keys is not None:
        return set(part.keys)
    return {item.text() for item in part.items} if part.items is not None else {part.text()}


def _permissions(part: Part) -> Found:
    if part.text("permissions") == "write-all":
        yield rules.WRITE_ALL, part.line_of("permissions")


def _environment(part: Part) -> Found:
    for name, value in part.pairs("env"):
        environment = part.get("env")
        line = environment.line_of(name) if environment is not None else value.line
        if name == "ACTIONS_ALLOW_UNSECURE_COMMANDS" and value.text().lower() in ("true", "1"):
            yield rules.UNSAFE_COMMANDS, line
        elif is_secret(name, value.value):
            yield rules.SECRET_IN_CONFIG, line
        elif "toJSON(secrets)" in value.text() or "toJson(secrets)" in value.text():
            yield rules.ALL_SECRETS, line


def _credentials(job: Part) -> Found:
    services = [part for _, part in job.pairs("services")]
    for container in [*job.each("container"), *services]:
        password = container.get("credentials", "password")
        if password is not None and password.text() and "${{" not in password.text():
            yield rules.SECRET_IN_CONFIG, password.line


def _used(part: Part) -> Found:
    used = part.text("uses")
    if not used or used.startswith(_OURS) or _PINNED.search(used):
        return
    yield rules.UNPINNED_ACTION, part.line_of("uses")


def _step(step: Part, events: set[str]) -> Found:
    if step.keys is None:
        return
    yield from _used(step)
    yield from _environment(step)
    if step.text("uses").startswith("actions/checkout") and events & _STRANGERS:
        ref = step.text("with", "ref") + step.text("with", "repository")
        if _HEAD.search(ref):
            yield rules.UNTRUSTED_CHECKOUT, step.line_of("with", "ref")
    script = step.get("run")
    if script is not None:
        yield from _script(script)
        yield from in_shell(_numbered(script))
        if events & _STRANGERS and re.search(
            r"\bgit\s+(?:checkout|fetch|pull|merge)\b[^\n]*(?:head|refs/pull)|\bgh\s+pr\s+checkout\b",
            script.text(),
        ):
            yield rules.UNTRUSTED_CHECKOUT, script.line
    if step.text("uses").startswith("actions/github-script"):
        inner = step.get("with", "script")
        if inner is not None:
            yield from _script(inner)


def _numbered(script: Part) -> list[tuple[int, str]]:
    lines = script.text().split("\n")
    start = script.line if len(lines) == 1 else script.line + 1
    return [(start + index, line) for index, line in enumerate(lines)]


def _script(script: Part) -> Found:
    for number, line in _numbered(script):
        for found in _EXPRESSION.finditer(line):
            inner = found.group(1)
            if _UNTRUSTED.search(inner):
                yield rules.SCRIPT_INJECTION, number
            elif _INPUT.search(inner):
                yield rules.INPUT_IN_SCRIPT, number
            elif "toJSON(secrets)" in inner:
                yield rules.ALL_SECRETS, number
