"""An approval as it is drawn: what would be executed, how it is decided, who has voted.

Everything in it but its own words was written by others, so all of it goes through `visible`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from rich.console import Console, RenderableType
from rich.text import Text

from penstock_cli.bound import unbound_parts
from penstock_cli.client import Json
from penstock_cli.diff_picture import DiffPicture
from penstock_cli.findings_picture import counts_in, findings_in, findings_table
from penstock_cli.terminal import counted, moment, out, short, short_digest, span, styled, table
from penstock_cli.visible import json_text, one_line, visible

LABEL_WIDTH = 11
TEXT_SHOWN_MAX = 2_000  # characters of one input beside a plan; the plan itself is never cut
PENDING = "pending"
_DRAWN_OF_EFFECT = frozenset({"kind", "ref", "message", "diff", "files"})


def show_approval(item: Json, console: Console = out) -> None:
    """Print all that an approver has to know; `item` is as `GET /api/approvals/{id}` gave it."""
    for part in _parts(item, console.width if console.is_terminal else 0):
        console.print(part, soft_wrap=isinstance(part, Text))


def _parts(item: Json, columns: int) -> Iterator[RenderableType]:
    yield Text()
    yield (
        one_line(item.get("title") or item["node"], "bold")
        .append("  ")
        .append_text(styled(str(item["status"])))
    )
    yield from _head(item)
    yield from _people(item)
    yield from _decision(item)
    yield from _context(cast("Json", item.get("context") or {}))
    yield from _proposal(item, columns)
    yield from _foot(item)


def _row(label: str, value: object, style: str = "") -> Text:
    text = value if isinstance(value, Text) else one_line(value, style)
    return Text(f"{label:<{LABEL_WIDTH}} ", "dim").append_text(text)


def _head(item: Json) -> Iterator[Text]:
    yield _row("approval", item["approval_id"])
    run = f"{item['run_id']} of {item['workflow']}, node {item['node']}"
    yield _row("run", run + (f", attempt {item['attempt']}" if item["attempt"] > 1 else ""))
    asked = moment(item.get("requested_us"))
    yield _row("asked", f"{asked}, run asked for by {item.get('requested_by') or '-'}")
    if item.get("because"):
        yield _row("asked again", item["because"], "bold")
    if item["status"] == PENDING:
        left = span(float(item.get("seconds_left") or 0))
        reminded = f"; reminded {counted(n, 'time')}" if (n := item.get("reminders")) else ""
        yield _row(
            "expires", f"{moment(item.get('expires_us'))}, in {left}, which denies{reminded}"
        )


# --- people -------------------------------------------------------------------------------------


def _people(item: Json) -> Iterator[Text]:
    policy = cast("Json", item.get("policy") or {})
    yield _row("approvers", _who(cast("Json", policy.get("approvers") or {})))
    quorum = int(policy.get("quorum") or 1)
    if quorum > 1 or item["status"] == PENDING:
        missing = f", {item['missing']} missing" if item["status"] == PENDING else ""
        people = f"{quorum} different people" if quorum > 1 else "one person"
        yield _row("quorum", f"{people}{missing}")
    if policy.get("separation"):
        yield _row("separation", "whoever asked for the run may not decide")
    if policy.get("reason_required"):
        yield _row("reason", "required, also to approve")
    if policy.get("push_back"):
        yield _row("push back", f"possible to {', '.join(policy['push_back'])}")
    yield from _form(cast("Json", policy.get("form") or {}))
    for vote in cast("list[Json]", item.get("votes") or []):
        yield _row("vote", _vote(vote))


def _who(approvers: Json) -> str:
    found = [
        *map(str, approvers.get("users") or ()),
        *(f"group {name}" for name in approvers.get("groups") or ()),
        *(f"role {name}" for name in approvers.get("roles") or ()),
    ]
    return ", ".join(found) or "role approver"


def _form(form: Json) -> Iterator[Text]:
    required = form.get("required") or ()
    for name, wanted in cast("dict[str, Any]", form.get("properties") or {}).items():
        schema = cast("Json", wanted) if isinstance(wanted, dict) else {}
        kind = schema.get("enum") or schema.get("type") or "any value"
        needed = "required" if name in required else "optional"
        about = f": {schema['description']}" if schema.get("description") else ""
        yield _row("answer", f"{name} ({kind}, {needed}){about}")


def _vote(vote: Json) -> Text:
    said = Text.assemble(one_line(vote["user"], "bold"), " ", styled(str(vote["choice"])))
    said.append(f"  {moment(vote.get('at_us'))}", "dim")
    if vote.get("to"):
        said.append_text(one_line(f"  to {vote['to']}"))
    if vote.get("reason"):
        said.append_text(one_line(f"  {vote['reason']}"))
    if vote.get("digest"):
        said.append(f"  saw {short_digest(vote['digest'])}", "dim")
    if vote.get("stands") is False:
        said.append("  does not count: no approver any more", "red")
    return said


def _decision(item: Json) -> Iterator[Text]:
    if item["status"] == PENDING:
        return
    by = ", ".join(item.get("decided_by") or ())
    when = moment(item.get("decided_us"))
    told = styled(str(item["status"])).append_text(one_line(f" {when}{' by ' if by else ''}{by}"))
    if item.get("to"):
        told.append_text(one_line(f", back to {item['to']}"))
    if item.get("reason"):
        told.append_text(one_line(f": {item['reason']}"))
    yield _row("decided", told)
    if item.get("grant_expires_us"):
        yield _row("leave", f"stands until {moment(item['grant_expires_us'])}")
    if item.get("answers"):
        yield _row("answers", json_text(item["answers"]))


# --- what it is about ---------------------------------------------------------------------------


def _context(context: Json) -> Iterator[RenderableType]:
    plain: Json = {}
    for name, value in context.items():
        counts, findings = counts_in(value), findings_in(value)
        if counts:
            yield _row(name, counts, "bold")
        elif findings:
            yield Text()
            yield one_line(name, "bold")
            yield findings_table(findings)
        elif value == []:
            yield _row(name, "none")
        else:
            plain[name] = value
    if plain:
        yield Text()
        yield json_text(plain)


def _proposal(item: Json, columns: int) -> Iterator[RenderableType]:
    proposal = cast("Json", item.get("proposal") or {})
    plan = cast("Json | None", proposal.get("plan"))
    given = cast("Json", proposal.get("input") or {})
    yield Text()
    if proposal.get("agent"):
        digest = proposal.get("agent_digest") or "-"
        yield _row("agent", f"{proposal['agent']}  {digest}")
    else:
        yield _row("agent", "none: the gate only lets the run go on")
    if plan is not None:
        yield from _base(cast("Json", plan.get("base") or {}))
    if given and given != item.get("context"):
        yield _row("input", "")
        yield json_text(_shortened(given) if plan is not None else given)
    if plan is not None:
        yield from plan_parts(plan, columns)
    if not proposal.get("atomic", True):
        yield Text(
            "NOT ATOMIC: applying does not depend on the state that was planned against;\n"
            "what changes meanwhile is not noticed.", "bold yellow",
        )  # fmt: skip


def _shortened(given: Json) -> Json:
    def cut(value: object) -> object:
        if isinstance(value, str) and len(value) > TEXT_SHOWN_MAX:
            return f"{value[:TEXT_SHOWN_MAX]}... ({len(value)} characters; all of it: --json)"
        return value

    return {name: cut(value) for name, value in given.items()}


def _base(base: Json) -> Iterator[Text]:
    if base.get("commit"):
        yield _row("base", f"{base['commit']} of {base.get('ref') or '-'}")
        files = base.get("files")
        count = len(cast("Json", files)) if isinstance(files, dict) else 0
        told = f"and {counted(count, 'file')} as the diff finds them; others may change meanwhile"
        yield _row("", told, "dim")
    elif base:
        yield _row("base", json_text(base))


def plan_parts(plan: Json, columns: int) -> Iterator[RenderableType]:
    """Give what is drawn of a plan; `columns` as for a diff."""
    effect = cast("Json", plan.get("effect") or {})
    if plan.get("summary"):
        yield _row("plan", plan["summary"], "bold")
    diff = effect.get("diff")
    if effect.get("kind") != "git" or not isinstance(diff, str):
        yield _row("effect", "")
        yield json_text(effect)
        return
    yield _row("lands on", effect.get("ref") or "-")
    yield _row("message", visible(str(effect.get("message") or "-").rstrip("\n")))
    picture = DiffPicture()
    yield from picture.lines(diff, columns)
    yield Text()
    files = cast("list[Json]", effect.get("files") or [])
    drawn = table("file", "what")
    for file in files:
        drawn.add_row(one_line(file.get("path")), _what(file))
    yield drawn
    lines = f"{counted(picture.added, 'line')} added, {picture.removed} removed"
    binary = f", {picture.binary} binary" if picture.binary else ""
    yield _row("changes", f"{counted(len(files), 'file')}, {lines}{binary}")
    more = {name: value for name, value in effect.items() if name not in _DRAWN_OF_EFFECT}
    if more:
        yield _row("effect", json_text(more))


def _what(file: Json) -> Text:
    old, new = file.get("old"), file.get("new")
    if old is None:
        return Text(f"added, mode {file.get('mode')}", "green")
    if new is None:
        return Text("deleted", "red")
    what = Text("changed" if old != new else "same content")
    if file.get("old_mode") != file.get("mode"):
        what.append(f", mode {file.get('old_mode')} -> {file.get('mode')}", "bold yellow")
    return what


def _foot(item: Json) -> Iterator[Text]:
    yield _row("digest", item.get("digest") or "-", "bold")
    if parts := unbound_parts(item):
        told = f"NOT WHAT THE DIGEST SAYS: {parts}; decide nothing and look into the gateway"
        yield Text(told, "bold red")
        return
    if item["status"] != PENDING:
        return
    digest = short_digest(item.get("digest"))
    verbs = [f"approve {{}} --digest {digest}", "reject {} --reason ..."]
    if (item.get("policy") or {}).get("push_back"):
        verbs.append("push-back {} --reason ...")
    said = (f"penstock approvals {verb.format(short(item['approval_id']))}" for verb in verbs)
    yield Text("\n" + "\n".join(said), "dim")
