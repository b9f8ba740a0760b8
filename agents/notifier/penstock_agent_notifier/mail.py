"""Mail, handed to a submission server through the egress proxy."""

import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from penstock_agent_notifier.models import EmailChannel, Severity
from penstock_agent_notifier.outcomes import Outcome
from penstock_agent_sdk import AgentError
from penstock_agent_sdk.egress import open_tunnel

TIMEOUT_S = 10.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}
# Servers and people sort by these; see RFC 4021 and the common X-Priority.
_PRIORITY: dict[Severity, str] = {"critical": "1", "high": "2"}


class _Submission(smtplib.SMTP):
    """SMTP over a tunnel, under TLS from the first byte where the channel says so."""

    def __init__(self, channel: EmailChannel, context: ssl.SSLContext) -> None:
        self._channel = channel
        self._context = context
        # A name given: otherwise one is looked up, in a sandbox that has no resolver.
        super().__init__(local_hostname="[127.0.0.1]", timeout=TIMEOUT_S)

    def open(self) -> None:
        """Connect.

        Raises:
            AgentError: There is no network, or the proxy refuses.
            OSError: The server does not answer, or its certificate cannot be verified.
        """
        port = self._channel.port or PORTS[self._channel.security]
        self._host = self._channel.host  # the name that STARTTLS verifies
        code, said = self.connect(self._channel.host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = open_tunnel(host, port, timeout)
        if self._channel.security != "tls":
            return plain
        return self._context.wrap_socket(plain, server_hostname=host)


def send(
    channel: EmailChannel, message: str, title: str, severity: Severity, message_id: str
) -> Outcome:
    """Hand one message to the server.

    Args:
        channel: Server, sender and recipients.
        message: The text.
        title: The subject; without one the first line of the text.
        severity: Goes into the subject and the priority.
        message_id: The same for each try, so that a server or reader can drop the second.
    """
    if channel.security == "none" and channel.password is not None:
        return Outcome(False, "a password is not sent in the clear: set `security`")
    letter = written(channel, message, title, severity, message_id)
    context = ssl.create_default_context()
    server = _Submission(channel, context)
    try:
        server.open()
        if channel.security == "starttls":
            server.starttls(context=context)
        if channel.user is not None:
            server.login(channel.user, channel.password or "")
        refused = server.send_message(letter)
    except AgentError as failure:
        return Outcome(False, failure.message, again=failure.retryable)
    except ssl.SSLError:
        return Outcome(False, "its certificate cannot be verified")
    except smtplib.SMTPResponseException as error:
        # 4yz is for now, 5yz for good (RFC 5321, 4.2.1). What the server says is not repeated.
        return Outcome(False, f"SMTP {error.smtp_code}", again=400 <= error.smtp_code < 500)
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        again = all(400 <= code < 500 for code in codes)
        return Outcome(False, f"every recipient was refused (SMTP {min(codes)})", again=again)
    except smtplib.SMTPNotSupportedError:
        return Outcome(False, "the server offers neither the security nor the login asked for")
    except (smtplib.SMTPException, OSError):
        return Outcome(False, "connection failed", again=True)
    finally:
        server.close()
    if refused:
        return Outcome(True, f"accepted, {len(refused)} of {len(channel.to)} recipients refused")
    return Outcome(True, "accepted")


def written(
    channel: EmailChannel, message: str, title: str, severity: Severity, message_id: str
) -> EmailMessage:
    """Write the letter; a line break in the title becomes a blank, so it adds no header."""
    subject = " ".join((title or message.strip().partition("\n")[0]).split())
    letter = EmailMessage()
    letter["Subject"] = f"[{severity}] {subject}"[:200]
    letter["From"] = channel.sender
    letter["To"] = ", ".join(channel.to)
    letter["Date"] = formatdate()
    domain = channel.sender.rpartition("@")[2]
    letter["Message-ID"] = f"<{message_id}@{domain}>" if message_id else make_msgid(domain=domain)
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    if severity in _PRIORITY:
        letter["X-Priority"] = _PRIORITY[severity]
    letter.set_content(message)
    return letter
