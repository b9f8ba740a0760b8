"""The notifier's rules: templates, addresses, console, retries. No network."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from pydantic import ValidationError

from penstock_agent_notifier import console
from penstock_agent_notifier.addresses import checked_url, redacted, shown
from penstock_agent_notifier.delivery import deliver
from penstock_agent_notifier.models import NotifierInput
from penstock_agent_notifier.templating import MAX_VALUE_CHARS, render
from penstock_agent_sdk import AgentError


@dataclass
class Outcome:
    ok: bool
    detail: str = ""
    again: bool = False


@dataclass
class Receiver:
    """Answers with the given outcomes, then repeats the last."""

    outcomes: list[Outcome]
    seen: list[tuple[str, dict[str, object], dict[str, str], str]] = field(default_factory=list)

    def __call__(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str], severity: str
    ) -> Outcome:
        self.seen.append((url, dict(body), dict(headers), severity))
        return self.outcomes[min(len(self.seen), len(self.outcomes)) - 1]


def task(**fields: object) -> NotifierInput:
    return NotifierInput.model_validate({"message": "hello", "channels": ["console"], **fields})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{n} in {repo}", "3 in shop"),
        ("{{n}} {{", "{n} {"),
        ("{repo.__class__} {repo[0]} {repo!r} {repo:>10}", None),
        ("{data}", '{"a": [1, null]}'),
        ("{evil}", "{n}"),
        ("{}", "{}"),
    ],
)
def test_templates_replace_names_and_nothing_else(template: str, text: str | None) -> None:
    values = {"n": 3, "repo": "shop", "data": {"a": [1, None]}, "evil": "{n}"}
    assert render(template, values) == (text if text is not None else template, [])


def test_a_missing_name_stays_and_is_reported() -> None:
    assert render("{a} {b}", {"a": 1}) == ("1 {b}", ["b"])


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
        channels=[{"type": "webhook", "url": "http://x/", "headers": {"X-Key": "k"}}],
        message="{n} findings",
        title="About {repo}",
        severity="critical",
        context={"n": 2, "repo": "shop"},
    )
    output = deliver(given, lambda: receiver, idempotency_key="run-1/notify")
    assert [d.model_dump() for d in output.delivered] == [
        {"channel": "webhook http://x/", "ok": True, "detail": "accepted"}
    ]
    body = {
        "message": "2 findings",
        "severity": "critical",
        "title": "About shop",
        "context": {"n": 2, "repo": "shop"},
    }
    headers = {"Idempotency-Key": "run-1/notify", "X-Key": "k"}
    assert receiver.seen == [("http://x/", body, headers, "critical")]


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
    [[], ["console"] * 21, ["smtp"], [{"type": "console", "url": "http://x/"}], [{"type": "sms"}]],
)
def test_odd_channels_are_refused(channels: list[object]) -> None:
    with pytest.raises(ValidationError):
        task(channels=channels)
