"""The notifier's channels, each against a server of its kind behind the egress proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.integration.notifier_world import Authority, Egress, egress, mail, notify, web

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK = "https://hooks.slack.com/" + "services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
TEAMS = (
    "https://prod-161.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64"
    "/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"
    "&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Egress]:
    with egress(tmp_path) as proxy:
        yield proxy


class Run:
    def __init__(self, folder: Path, proxy: Egress, authority: Authority) -> None:
        self._folder = folder
        self._environment = {
            "PENSTOCK_EGRESS_SOCKET": proxy.path,
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "SSL_CERT_FILE": str(authority.bundle),
            "PENSTOCK_IDEMPOTENCY_KEY": "run-1/notify",
            "PENSTOCK_WORKFLOW": "nightly",
        }

    def __call__(self, channels: list[object], **fields: Any) -> tuple[int, Any, str]:
        book = fields.pop("book", None)
        given = {"channels": channels, "message": "{n} findings", "context": {"n": 3}, **fields}
        extra = {} if book is None else {"NOTIFIER_CHANNELS": json.dumps(book)}
        return notify(self._folder, given, **self._environment, **extra)


@pytest.fixture
def run(tmp_path: Path, proxy: Egress, authority: Authority) -> Run:
    return Run(tmp_path, proxy, authority)


def test_a_signed_webhook_verifies_and_keeps_its_id_over_retries(run: Run, proxy: Egress) -> None:
    with web() as receiver:
        receiver.answers = [(503, {})]
        proxy.routes["hooks.example:80"] = receiver.port
        book = {
            "audit": {
                "type": "webhook",
                "url": "http://hooks.example/in",
                "signing_secret": SECRET,
            }
        }
        code, output, log = run(["audit"], book=book, retry={"attempts": 2, "backoff_s": 0})
    assert code == 0, log
    assert output["delivered"] == [
        {"channel": "audit", "ok": True, "detail": "accepted (try 2)"},
    ]
    first, second = receiver.seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert Webhook(SECRET).verify(second.raw, second.headers)["message"] == "3 findings"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(second.raw + b" ", second.headers)
    assert SECRET not in log
    assert SECRET not in json.dumps(output)


def test_slack_is_reached_through_the_proxy_alone(
    run: Run, proxy: Egress, authority: Authority
) -> None:
    with web(authority.context("hooks.slack.com")) as receiver:
        proxy.routes["hooks.slack.com:443"] = receiver.port
        code, output, log = run(
            [{"type": "slack", "url": SLACK}], title="Scan of {workflow}", severity="high"
        )
    assert code == 0, (output, log)
    assert output["delivered"][0]["channel"] == "slack https://hooks.slack.com/***"
    (seen,) = receiver.seen
    assert seen.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "3 findings" in seen.raw.decode()
    assert "Scan of nightly" in seen.raw.decode()
    assert proxy.asked == ["hooks.slack.com:443"]
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in log + json.dumps(output)


def test_teams_gets_a_card(run: Run, proxy: Egress, authority: Authority) -> None:
    host = "prod-161.westeurope.logic.azure.com"
    with web(authority.context(host)) as receiver:
        proxy.routes[f"{host}:443"] = receiver.port
        code, output, log = run([{"type": "teams", "url": TEAMS}], title="Scan")
    assert code == 0, (output, log)
    (seen,) = receiver.seen
    assert seen.body["attachments"][0]["contentType"].endswith("card.adaptive")
    assert "3 findings" in seen.raw.decode()
    assert proxy.asked == [f"{host}:443"]
    assert "KODuebWbDGYFr0z0eu" not in log + json.dumps(output)


def test_a_chat_that_refuses_is_told_by_its_status(
    run: Run, proxy: Egress, authority: Authority
) -> None:
    with web(authority.context("hooks.slack.com")) as receiver:
        receiver.answers = [(404, {}), (200, {})]
        proxy.routes["hooks.slack.com:443"] = receiver.port
        code, output, _ = run(["console", {"type": "slack", "url": SLACK, "name": "ops"}])
    assert code == 0
    assert output["delivered"][1] == {"channel": "ops", "ok": False, "detail": "HTTP 404"}
    assert len(receiver.seen) == 1


def test_any_service_of_apprise_that_speaks_http(run: Run, proxy: Egress) -> None:
    with web() as receiver:
        proxy.routes["ntfy.example:8080"] = receiver.port
        url = "ntfy://ntfy.example:8080/alerts"
        code, output, log = run([{"type": "apprise", "url": url}])
    assert code == 0, (output, log)
    assert output["delivered"][0]["channel"] == "apprise ntfy"
    assert "3 findings" in receiver.seen[0].raw.decode()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rsyslog://localhost", "not reached by HTTP"),
        ("mailto://u:p@example.org", "not reached by HTTP"),
        ("nothing://x", "cannot read"),
    ],
)
def test_a_service_that_leads_around_the_proxy_is_refused(run: Run, url: str, said: str) -> None:
    code, output, _ = run(["console", {"type": "apprise", "url": url}])
    assert code == 0
    assert said in output["delivered"][1]["detail"]


def letter(**fields: object) -> dict[str, object]:
    return {
        "type": "email",
        "host": "smtp.example",
        "sender": "penstock@example.org",
        "to": ["a@example.org", "b@example.org"],
        "user": "u",
        "password": "pa55word",
        **fields,
    }


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465)])
def test_mail_goes_encrypted_through_the_proxy(
    run: Run, proxy: Egress, authority: Authority, security: str, port: int
) -> None:
    context = authority.context("smtp.example")
    with mail(context, tls_first=security == "tls") as server:
        proxy.routes[f"smtp.example:{port}"] = server.port
        code, output, log = run(
            [letter(security=security)],
            title="Scan\r\nBcc: evil@example.org",
            message="{n} findings\nüber",
            severity="critical",
        )
    assert code == 0, (output, log)
    assert output["delivered"] == [
        {"channel": "email by smtp.example", "ok": True, "detail": "accepted"}
    ]
    ((recipients, text, secure),) = server.letters
    assert secure
    assert len(server.logins) == 1
    assert [one.split("<")[1].split(">")[0] for one in recipients] == [
        "a@example.org",
        "b@example.org",
    ]
    parsed = message_from_bytes(text.removesuffix("\r\n.\r\n").encode(), policy=modern)
    assert parsed["Subject"] == "[critical] Scan Bcc: evil@example.org"
    assert parsed["Bcc"] is None
    assert parsed["X-Priority"] == "1"
    assert parsed.get_content().splitlines() == ["3 findings", "über"]
    assert proxy.asked == [f"smtp.example:{port}"]
    assert "pa55word" not in log + json.dumps(output)


def test_mail_is_not_handed_to_a_server_of_another_name(
    run: Run, proxy: Egress, authority: Authority
) -> None:
    with mail(authority.context("other.example")) as server:
        proxy.routes["smtp.example:587"] = server.port
        code, output, _ = run(["console", letter()])
    assert code == 0
    assert output["delivered"][1]["detail"] == "its certificate cannot be verified"
    assert server.letters == []
    assert server.logins == []


@pytest.mark.parametrize(
    ("fields", "refusals", "ok", "said"),
    [
        ({}, {"MAIL": ["451 later"]}, True, "accepted (try 2)"),
        ({}, {"MAIL": ["550 never SECRET"]}, False, "SMTP 550"),
        ({}, {"AUTH": ["535 no SECRET"]}, False, "SMTP 535"),
        ({}, {"RCPT": ["550 unknown"]}, True, "accepted, 1 of 2 recipients refused"),
        ({}, {"RCPT": ["550 a", "550 b"]}, False, "every recipient was refused (SMTP 550)"),
        ({}, {"STARTTLS": ["502 no"]}, False, "SMTP 502"),
        ({"security": "none"}, {}, False, "a password is not sent in the clear: set `security`"),
        (
            {"security": "none", "port": 587, "user": None, "password": None},
            {},
            True,
            "accepted",
        ),
    ],
)
def test_what_a_mail_server_answers_is_judged(
    run: Run,
    proxy: Egress,
    authority: Authority,
    fields: dict[str, object],
    refusals: dict[str, list[str]],
    ok: bool,
    said: str,
) -> None:
    with mail(authority.context("smtp.example")) as server:
        server.refusals = refusals
        proxy.routes["smtp.example:587"] = server.port
        code, output, log = run(
            ["console", letter(**fields)], retry={"attempts": 2, "backoff_s": 0}
        )
    assert code == 0, log
    assert (output["delivered"][1]["ok"], output["delivered"][1]["detail"]) == (ok, said)
    assert "SECRET" not in json.dumps(output)


def test_what_the_proxy_refuses_is_said_of_every_kind(run: Run, proxy: Egress) -> None:
    channels: list[object] = [
        "console",
        "http://169.254.169.254/latest/meta-data",
        "https://hooks.example/x",
        {"type": "slack", "url": SLACK},
        letter(),
    ]
    code, output, _ = run(channels, retry={"attempts": 1})
    assert code == 0
    details = [entry["detail"] for entry in output["delivered"]]
    assert [entry["ok"] for entry in output["delivered"]] == [True, False, False, False, False]
    assert details[1] == "HTTP 403"
    assert "egress proxy" in details[2]
    assert details[4] == "the egress proxy does not let smtp.example:587 through"
    assert sorted(proxy.asked) == [
        "169.254.169.254:80",
        "hooks.example:443",
        "hooks.slack.com:443",
        "smtp.example:587",
    ]
