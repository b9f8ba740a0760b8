"""The webhook channel: one POST of JSON, signed by Standard Webhooks where there is a secret.

https://www.standardwebhooks.com: the signature covers id, time and the very bytes of the body.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from standardwebhooks.webhooks import Webhook

from penstock_agent_notifier.models import WebhookChannel
from penstock_agent_notifier.outcomes import Outcome, of_status
from penstock_agent_sdk import AgentError

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 6.0
USER_AGENT = "Penstock"


def send(
    channel: WebhookChannel, body: Mapping[str, object], message_id: str, now: datetime
) -> Outcome:
    """Post `body` once.

    Redirects are not followed: they would let a receiver choose the next address.

    Args:
        channel: Where to.
        body: The JSON object.
        message_id: The same for each try of one message.
        now: Goes into the signature, against replays.
    """
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Idempotency-Key": message_id,
    }
    headers |= signature_of(channel.signing_secret, data, message_id, now)
    parts = urlsplit(channel.url)
    user = (parts.username or "", parts.password or "") if parts.username else None
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        # The answer's body is not read: it is the receiver's to choose, and of no use.
        with requests.post(
            address,
            data=data,
            headers={**headers, **channel.headers},
            auth=user,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            allow_redirects=False,
            stream=True,
        ) as answer:
            return of_status(answer.status_code, wait_of(answer.headers.get("Retry-After"), now))
    except requests.exceptions.ProxyError:
        return Outcome(
            False, "refused by the egress proxy, or not reachable through it", again=True
        )
    except requests.exceptions.SSLError:
        return Outcome(False, "its certificate cannot be verified")
    except requests.exceptions.Timeout:
        return Outcome(False, "no answer in time", again=True)
    except requests.exceptions.RequestException:
        return Outcome(False, "connection failed", again=True)


def signature_of(secret: str | None, data: bytes, message_id: str, now: datetime) -> dict[str, str]:
    """Give the headers of Standard Webhooks; none without a secret.

    Raises:
        AgentError: `bad_signing_secret`: it is not base64.
    """
    if secret is None:
        return {}
    try:
        signature = Webhook(secret).sign(message_id, now, data.decode())
    except (ValueError, RuntimeError) as error:
        raise AgentError("bad_signing_secret", "a signing secret is not base64") from error
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def wait_of(header: str | None, now: datetime) -> float:
    """Read Retry-After: seconds, or a date; 0 where there is none that makes sense."""
    if header is None:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    try:
        asked = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, (asked.replace(tzinfo=asked.tzinfo or UTC) - now).total_seconds())
