"""What may be addressed, and how an address is shown."""

from urllib.parse import urlsplit

SCHEMES = ("http", "https")
HIDDEN = "***"


def checked_url(url: str) -> str:
    """The URL itself when it is a plausible webhook address.

    Whether the address is *reachable* is not decided here: inside the sandbox nothing is, and the
    egress proxy outside it has the allow-list and sees the resolved address.

    Raises:
        ValueError: Not http or https, no host, or characters that no URL has. The message never
            repeats the URL.
    """
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url) or "\\" in url:
        raise ValueError("the address holds blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("the address is malformed") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("only http and https addresses are allowed")
    if not parts.hostname or not port_ok:
        raise ValueError("the address names no host or no valid port")
    return url


def shown(url: str) -> str:
    """Scheme, host and port only.

    User information, path and query are credentials at many receivers, so none of them is shown.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    hidden = parts.username or parts.query or parts.path not in ("", "/")
    return f"{parts.scheme}://{host}{port}/{HIDDEN if hidden else ''}"


def redacted(text: str, url: str) -> str:
    """`text` without the parts of `url` that may be credentials."""
    parts = urlsplit(url)
    secrets = [url, parts.path, parts.query, parts.username, parts.password, parts.fragment]
    for secret in sorted({part for part in secrets if part and len(part) > 2}, key=len)[::-1]:
        text = text.replace(secret, HIDDEN)
    return text
