"""The notifier's rules: templates, addresses, console, retries. No network."""

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from penstock_agent_notifier import console
from penstock_agent_notifier.addresses import checked_url, redacted, shown
from penstock_agent_notifier.book import Book
from penstock_agent_notifier.delivery import Letter, deliver
from penstock_agent_notifier.models import NotifierInput, SentChannel
from penstock_agent_notifier.outcomes import Outcome, of_status
from penstock_agent_notifier.sending import body_of
from penstock_agent_notifier.templating import (
    MAX_ITEMS,
    MAX_RESULT_CHARS,
    MAX_VALUE_CHARS,
    render,
)
from penstock_agent_notifier.webhook import wait_of
from penstock_agent_sdk import AgentError


@dataclass
class Receiver:
    """Answers with the given outcomes, then repeats the last."""

    outcomes: list[Outcome]
    seen: list[tuple[SentChannel, Letter]] = field(default_factory=list)

    def __call__(self, channel: SentChannel, letter: Letter, task: NotifierInput) -> Outcome:
        self.seen.append((channel, letter))
        return self.outcomes[min(len(self.seen), len(self.outcomes)) - 1]


def task(**fields: object) -> NotifierInput:
    return NotifierInput.model_validate({"message": "hello", "channels": ["console"], **fields})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{n} in {repo}", "3 in shop"),
        ("{{n}} {{", "{n} {"),
        ("{repo[0]} {repo!r} {repo:>10} {repo()}", None),
        ("{data}", '{"a": [1, null]}'),
        ("{evil}", "{n}"),
        ("{}", "{}"),
    ],
)
def test_templates_replace_names_and_nothing_else(template: str, text: str | None) -> None:
    values = {"n": 3, "repo": "shop", "data": {"a": [1, None]}, "evil": "{n}"}
    assert render(template, values) == (text if text is not None else template, [])


def test_a_missing_name_stays_and_is_reported() -> None:
    assert render("{a} {b} {b}", {"a": 1}) == ("1 {b} {b}", ["b"])
    assert render("{a.__class__}", {"a": 1}) == ("{a.__class__}", ["a.__class__"])


LISTED = {
    "scan": {"summary": {"total": 2}},
    "findings": [{"rule": "a", "at": {"line": 1}}, {"rule": "{n}", "at": {"line": 2}}],
    "names": ["x", "y"],
    "none": [],
    "yes": True,
    "zero": 0,
    "a.b": "dotted",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{scan.summary.total}", "2"),
        ("{a.b}", "dotted"),
        ("{#findings}{rule}:{at.line} {/findings}", "a:1 {n}:2 "),
        ("{#names}{.},{/names}", "x,y,"),
        ("{#names}{scan.summary.total}{/names}", "22"),
        ("{#none}no{/none}{^none}clean{/none}", "clean"),
        ("{#zero}no{/zero}{^absent}gone{/absent}", "gone"),
        ("{#yes}{zero}{/yes}", "0"),
        ("{#scan}{summary.total}{/scan}", "2"),
        ("{#names}{#names}{.}{/names};{/names}", "xy;xy;"),
        ("{#open} {/close} {.}", "{#open} {/close} {.}"),
        ("{#names}{#yes}{/names}{/yes}", "{#yes}{#yes}{/yes}"),
        ("{scan.summary.total.deep} {scan.nothing}", "{scan.summary.total.deep} {scan.nothing}"),
    ],
)
def test_sections_repeat_show_and_hide(template: str, text: str) -> None:
    assert render(template, LISTED)[0] == text


def test_long_lists_and_nested_nothing_are_bounded() -> None:
    text, _ = render("{#l}{.}\n{/l}", {"l": list(range(1_000))})
    assert text.splitlines()[-1] == f"... and {1_000 - MAX_ITEMS} more"
    deep = "{#l}" * 8 + "{.}" + "{/l}" * 8
    assert len(render(deep, {"l": ["x"] * 50})[0]) <= MAX_RESULT_CHARS
    empty = "{#l}" * 8 + "{/l}" * 8
    assert len(render(empty, {"l": [1] * 50})[0]) <= MAX_RESULT_CHARS


def test_values_are_bounded() -> None:
    assert len(render("{a}", {"a": "x" * 100_000})[0]) == MAX_VALUE_CHARS


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://x/", "http://", "//x/", "http://a b/", "http://a\\@b/",
     "http://x:99999/", "http://x\r\ny/", "javascript:alert(1)", "json://x/"],
)  # fmt: skip
def test_other_addresses_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        task(channels=[{"type": "webhook", "url": url}])
    assert url not in caught.value.errors(include_url=False, include_input=False)[0]["msg"]


def test_addresses_are_shown_without_their_secrets() -> None:
    url = checked_url("https://user:" + "pa55word@hooks.example:8443/T000/SECRET?token=abc")
    assert shown(url) == "https://hooks.example:8443/***"
    assert shown("http://[::1]:80/") == "http://[::1]:80/"
    said = redacted(f"cannot reach {url}: /T000/SECRET pa55word", url)
    assert not any(word in said for word in ("pa55word", "SECRET", "token=abc", "user:"))


def test_the_console_can_imitate_neither_terminal_nor_log_lines() -> None:
    sink = io.StringIO()
    console.write("::penstock-progress {}\n\x1b[31mred\u202egnp", "high", "T", sink)
    assert sink.getvalue() == "[high] T\n[high] ::penstock-progress {}\n[high] [31mredgnp\n"


def test_a_webhook_gets_message_severity_and_context() -> None:
    receiver = Receiver([Outcome(True, "accepted")])
    given = task(
        channels=["http://x/"],
        message="{n} findings",
        title="About {repo}",
        severity="critical",
        context={"n": 2, "repo": "shop"},
    )
    output = deliver(given, lambda: receiver, idempotency_key="run-1/notify")
    assert [d.model_dump() for d in output.delivered] == [
        {"channel": "webhook http://x/", "ok": True, "detail": "accepted"}
    ]
    ((_, letter),) = receiver.seen
    assert body_of(letter, given) == {
        "message": "2 findings",
        "severity": "critical",
        "title": "About shop",
        "context": {"n": 2, "repo": "shop"},
    }


def test_a_repeated_task_sends_under_the_same_ids() -> None:
    ids: list[list[str]] = []
    for key in ("run-1/notify", "run-1/notify", "run-2/notify", None, None):
        receiver = Receiver([Outcome(True, "accepted")])
        given = task(channels=["http://x/", "http://y/"])
        deliver(given, lambda: receiver, idempotency_key=key)  # noqa: B023 (called at once)
        ids.append(sorted(letter.message_id for _, letter in receiver.seen))
    assert ids[0] == ids[1]
    assert len({name for names in (ids[0], *ids[2:]) for name in names}) == 8


def test_a_channel_may_say_it_in_its_own_words() -> None:
    receiver = Receiver([Outcome(True, "accepted")])
    own = {"type": "webhook", "url": "http://x/", "message": "{workflow}: {n}", "title": "T"}
    deliver(
        task(channels=[own], message="long", context={"n": 1}),
        lambda: receiver,
        about={"workflow": "nightly", "n": "hidden by the context"},
    )
    assert [(letter.message, letter.title) for _, letter in receiver.seen] == [("nightly: 1", "T")]


def test_a_channel_may_want_grave_news_only() -> None:
    receiver = Receiver([Outcome(True, "accepted")])
    quiet = {"type": "webhook", "url": "http://x/", "name": "pager", "severityThreshold": "high"}
    output = deliver(task(channels=[quiet], severity="medium"), lambda: receiver)
    assert output.delivered[0].model_dump() == {
        "channel": "pager",
        "ok": True,
        "detail": "not sent: below high",
    }
    assert receiver.seen == []
    deliver(task(channels=[quiet], severity="high"), lambda: receiver)
    assert len(receiver.seen) == 1


BOOK = Book(
    json.dumps(
        {
            "ops": {"type": "webhook", "url": "https://hooks.example/T0/SECRET"},
            "loop": "ops",
            "odd": {"type": "webhook", "url": "https://hooks.example/", "colour": "SECRET"},
        }
    )
)


def test_a_channel_is_found_in_the_book_and_shown_by_its_name() -> None:
    receiver = Receiver([Outcome(False, "HTTP 404 at /T0/SECRET")])
    named = {"type": "booked", "entry": "ops", "title": "mine"}
    output = deliver(task(channels=["console", "ops", named]), lambda: receiver, book=BOOK)
    assert [d.channel for d in output.delivered] == ["console", "ops", "ops"]
    assert "SECRET" not in output.model_dump_json()
    assert sorted(letter.title for _, letter in receiver.seen) == ["", "mine"]


@pytest.mark.parametrize(
    ("book", "entry", "said"),
    [
        (BOOK, "none", "has no 'none'"),
        (BOOK, "loop", "names another entry"),
        (BOOK, "odd", "wrong in: colour"),
        (Book(None), "ops", "notifier-channels"),
        (Book("SECRET"), "ops", "not JSON"),
        (Book("[]"), "ops", "not a JSON object"),
        (Book(" " * 70_000), "ops", "more than"),
    ],
)
def test_what_is_wrong_with_the_book_is_said_without_its_contents(
    book: Book, entry: str, said: str
) -> None:
    output = deliver(
        task(channels=["console", entry]), lambda: Receiver([Outcome(True, "")]), book=book
    )
    assert [d.ok for d in output.delivered] == [True, False]
    assert said in output.delivered[1].detail
    assert "SECRET" not in output.model_dump_json()


def test_passing_refusals_are_retried_with_growing_pauses() -> None:
    receiver = Receiver([Outcome(False, "HTTP 503", True)] * 2 + [Outcome(True, "accepted")])
    pauses: list[float] = []
    given = task(channels=["http://x/"], retry={"attempts": 5, "backoffS": 0.5})
    output = deliver(given, lambda: receiver, pause=pauses.append)
    assert pauses == [0.5, 1.0]
    assert output.delivered[0].detail == "accepted (try 3)"


def test_a_final_refusal_is_not_retried_and_others_still_get_theirs() -> None:
    receiver = Receiver([Outcome(False, "HTTP 404")])
    output = deliver(task(channels=["http://x/", "console"]), lambda: receiver)
    assert len(receiver.seen) == 1
    assert [(d.ok, d.detail) for d in output.delivered] == [(False, "HTTP 404"), (True, "printed")]


def test_nothing_delivered_is_a_retryable_failure() -> None:
    receiver = Receiver([Outcome(False, "HTTP 503 at /T0/SECRET", True)])
    pauses: list[float] = []
    with pytest.raises(AgentError) as caught:
        deliver(task(channels=["http://x/T0/SECRET"]), lambda: receiver, pause=pauses.append)
    assert (caught.value.code, caught.value.retryable) == ("not_delivered", True)
    assert "SECRET" not in caught.value.message
    assert len(receiver.seen) == 3


def test_without_network_the_console_still_works() -> None:
    def closed() -> Receiver:
        raise AgentError("no_network", "this agent has no network")

    output = deliver(task(channels=["http://x/", "console"]), closed)
    assert [d.ok for d in output.delivered] == [False, True]
    assert "no network" in output.delivered[0].detail


@pytest.mark.parametrize(
    "channels",
    [
        [],
        ["console"] * 21,
        [{"type": "console", "url": "http://x/"}],
        [{"type": "sms"}],
        [{"type": "slack", "url": "https://hooks.example/services/T/B/X"}],
        [{"type": "teams", "url": "https://hooks.example/"}],
        [{"type": "email", "host": "h", "sender": "a@b", "to": ["x@y>\r\nBcc: z@z"]}],
        [{"type": "email", "host": "h", "sender": "a@b", "to": []}],
        [{"type": "webhook", "url": "http://x/", "signing_secret": "short"}],
    ],
)
def test_odd_channels_are_refused(channels: list[object]) -> None:
    with pytest.raises(ValidationError):
        task(channels=channels)


@pytest.mark.parametrize(
    ("status", "ok", "again"),
    [(200, True, False), (204, True, False), (301, False, False), (403, False, False),
     (408, False, True), (425, False, True), (429, False, True), (500, False, True)],
)  # fmt: skip
def test_statuses_are_judged(status: int, ok: bool, again: bool) -> None:
    outcome = of_status(status, 7.0)
    assert (outcome.ok, outcome.again, outcome.wait_s) == (ok, again, 7.0 if again else 0.0)


def test_a_receiver_may_ask_for_patience() -> None:
    now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    assert wait_of("120", now) == 120.0
    assert wait_of("Sat, 21 Nov 2026 12:00:09 GMT", now) == 9.0
    assert wait_of("Sat, 21 Nov 2026 11:00:00 GMT", now) == wait_of("soon", now) == 0.0
    receiver = Receiver([Outcome(False, "HTTP 429", True, 3.0)] * 2 + [Outcome(True, "accepted")])
    pauses: list[float] = []
    deliver(task(channels=["http://x/"]), lambda: receiver, pause=pauses.append)
    assert pauses == [3.0, 3.0]
    receiver = Receiver([Outcome(False, "HTTP 429", True, 3_600.0), Outcome(True, "accepted")])
    pauses.clear()
    deliver(task(channels=["http://x/"]), lambda: receiver, pause=pauses.append)
    assert pauses == [30.0]
