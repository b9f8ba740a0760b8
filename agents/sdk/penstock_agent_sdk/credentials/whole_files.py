"""Files of well-known formats, all of which is there to hold credentials."""

import re
from collections.abc import Callable, Iterator, Sequence

from penstock_agent_sdk.credentials.values import entropy

Found = tuple[str, str, int]
"""Kind, value to judge (empty: nothing to judge), line."""

_HASH_LINE = re.compile(
    r"^[\w.@-]{1,64}:(?:\$(?:1|2[abxy]?|5|6|y|apr1)\$[^:\s]{8,}|\{SHA\}\S{20,}|[./0-9A-Za-z]{13})(?::|$)"
)
_NETRC = re.compile(r"\bpassword\s+(\S{3,200})|\baccount\s+(\S{3,200})")
_PGPASS = re.compile(r"^[^:#]{1,255}:(?:\d{1,5}|\*):[^:]{1,64}:[^:]{1,64}:(.{3,200})$")
_AUTH = re.compile(r"\"(?:auth|identitytoken|registrytoken)\"\s*:\s*\"([^\"]{8,})\"")
_NPM = re.compile(r"_(?:auth|authToken|password)\s*=\s*[\"']?([^\s\"'$]{8,})")
_ENCRYPTED = re.compile(r"\"encryptedPassword\"\s*:\s*\"([^\"]{8,})\"")
_SMTP = re.compile(r"^\s*(?:password|passwd|pass)\s+[\"']?([^\s\"']{3,200})")
_INSERTED = re.compile(r"\$(?:1|2[abxy]?|5|6|y|P|H)\$[./0-9A-Za-z$=,]{20,}")


def _lines(kind: str, pattern: re.Pattern[str]) -> Callable[[Sequence[str]], Iterator[Found]]:
    def read(lines: Sequence[str]) -> Iterator[Found]:
        for number, line in enumerate(lines, 1):
            match = pattern.search(line[:2_000])
            if match:
                value = next((group for group in match.groups() if group), "")
                yield kind, value, number

    return read


def _single(lines: Sequence[str]) -> Iterator[Found]:
    """A file that is nothing but one key."""
    told = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if len(told) == 1 and len(told[0][1]) >= 16 and entropy(told[0][1]) >= 3.0:
        yield "key file", "", told[0][0]


_KINDS: tuple[tuple[re.Pattern[str], Callable[[Sequence[str]], Iterator[Found]]], ...] = (
    (
        re.compile(r"(?:^|/)(?:g?shadow-?|\.?htpasswd|proftpdpasswd|passwd)$|\.htpasswd$"),
        _lines("password hash", _HASH_LINE),
    ),
    (re.compile(r"(?:^|/)[._]?netrc$"), _lines("password of a machine", _NETRC)),
    (re.compile(r"(?:^|/)\.?pgpass(?:\.conf)?$"), _lines("database password", _PGPASS)),
    (
        re.compile(r"(?:^|/)\.dockercfg$|(?:^|/)\.?docker/?config\.json$|dockerconfig(?:json)?$"),
        _lines("registry credentials", _AUTH),
    ),
    (re.compile(r"(?:^|/)\.npmrc$|(?:^|/)\.yarnrc$"), _lines("registry credentials", _NPM)),
    (re.compile(r"(?:^|/)logins\.json$"), _lines("browser's password", _ENCRYPTED)),
    (re.compile(r"(?:^|/)\.(?:esmtp|msmtp|mutt|fetchmail)rc$"), _lines("mail password", _SMTP)),
    (re.compile(r"(?:^|/)(?:master|credentials/\w+)\.key$|(?:^|/)\.vault[_-]pass\w*$"), _single),
    (re.compile(r"\.sql$"), _lines("password hash", _INSERTED)),
)


def credentials_of_file(name: str, lines: Sequence[str]) -> Iterator[Found]:
    """Credentials of a file that is known by its name."""
    for pattern, read in _KINDS:
        if pattern.search(name):
            yield from read(lines)
