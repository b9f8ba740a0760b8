"""Which weaknesses are one question.

Suites, tools and people give the same fault different CWE numbers: a child, a parent, or the
neighbour that a list of rules happened to name. Two answers are the same answer here if their
numbers are in one family. Each family says why it is one; a number is in one family only.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Family:
    """CWE numbers that answer the same question.

    Attributes:
        name: What cases and reports call it.
        cwes: The numbers.
        reason: Why they are one.
    """

    name: str
    cwes: frozenset[int]
    reason: str


def _family(name: str, cwes: Iterable[int], reason: str) -> Family:
    return Family(name, frozenset(cwes), reason)


FAMILIES: tuple[Family, ...] = (
    _family("sql-injection", (89, 564), "564 is 89 through an object mapper"),
    _family(
        "nosql-injection", (943,), "a query language that is not SQL: other sinks, other rules"
    ),
    _family("command-injection", (77, 78, 88), "a shell line, or arguments of a program"),
    _family(
        "code-injection",
        (94, 95, 96, 97, 470, 913, 1336),
        "text becomes program: eval, a template, a class chosen by name",
    ),
    _family(
        "path-traversal",
        (22, 23, 24, 35, 36, 73, 98, 706),
        "23, 24, 35, 36 are spellings of 22, 706 its parent; 73 and 98 say who chose the name",
    ),
    _family("link-following", (59, 61), "the name is right, what it leads to is not"),
    _family("file-upload", (434,), "what is stored, not where"),
    _family("xxe", (611, 776, 827), "entities resolved: from outside, without bound, by a DTD"),
    _family("ssrf", (918,), "the server fetches what somebody else names"),
    _family("xss", (79, 80, 83, 87, 116), "80, 83, 87 are places of 79, 116 its missing step"),
    _family("deserialisation", (502,), "loading runs code"),
    _family("ldap-injection", (90,), "its own query language"),
    _family("xpath-injection", (91, 643, 652), "91 is their parent, used for all of XML"),
    _family("header-injection", (93, 113, 644), "line breaks in a protocol's headers"),
    _family("log-injection", (117,), "line breaks in a log"),
    _family("format-string", (134,), "the caller chooses the format"),
    _family(
        "weak-crypto",
        (261, 323, 325, 326, 327, 328, 329, 759, 760, 780, 916, 1204, 1240),
        "tools file MD5 under 327 as well as 328, a short key under 326 as well as 327",
    ),
    _family(
        "weak-random",
        (330, 331, 335, 336, 337, 338, 340, 341),
        "a value that can be guessed: generator, seed, or too little of it",
    ),
    _family(
        "tls-verification",
        (295, 296, 297, 298, 299, 322, 599),
        "the peer is not who it says: certificate, name, host key",
    ),
    _family(
        "cleartext",
        (311, 312, 313, 319, 523),
        "unencrypted on the wire or at rest",
    ),
    _family("cookie-flags", (315, 539, 614, 1004, 1275), "a cookie that others can read or send"),
    _family("csrf", (352,), "a request that the user did not mean"),
    _family("cors", (183, 346, 942), "other origins may read; 183 is the parent of 942"),
    _family("open-redirect", (601,), "the browser is sent where somebody else says"),
    _family(
        "hardcoded-credential",
        (256, 257, 258, 259, 260, 321, 522, 547, 798),
        "259 is the password, 321 the key of 798; 256, 260, 522, 547 are used for the same lines",
    ),
    _family(
        "temporary-file", (377, 378, 379), "another user of the machine is there first, or reads"
    ),
    _family(
        "permissions",
        (276, 277, 278, 279, 281, 732),
        "276 to 281 are ways to arrive at 732",
    ),
    _family(
        "signature-check", (345, 347, 353, 354), "what was signed is not checked, or not signed"
    ),
    _family(
        "authentication",
        (287, 288, 290, 294, 306, 307, 521, 620, 640),
        "who asks is not established",
    ),
    _family(
        "authorisation",
        (280, 284, 285, 425, 501, 639, 862, 863, 1220),
        "what they may do is not asked; open to everybody is the same seen from outside",
    ),
    _family(
        "privilege",
        (250, 266, 268, 269, 271, 272, 273, 274),
        "runs with more rights than it needs; 269 is the parent of 250",
    ),
    _family("debug-mode", (11, 215, 489), "left on in production"),
    _family("exposed-service", (605, 668, 1327, 923), "listens to, or shows itself to, everybody"),
    _family(
        "regex-denial", (185, 186, 625, 1333), "an expression that is slow or matches too much"
    ),
    _family("resource-use", (400, 409, 674, 770, 772, 789, 834, 835, 1050), "no bound, no timeout"),
    _family("prototype-pollution", (915, 1321), "names of fields come from outside"),
    _family("error-handling", (248, 252, 390, 391, 392, 396, 703, 754, 755), "a fault is not seen"),
    _family(
        "information-leak",
        (200, 201, 203, 208, 209, 497, 526, 532, 538, 548, 552),
        "who should not know is told: page, log, timing",
    ),
    _family("race", (362, 366, 367), "checked at one time, used at another"),
    _family("integer", (128, 190, 191, 194, 195, 197, 680, 681), "a number does not fit"),
    _family(
        "supply-chain",
        (494, 506, 829, 830, 1104, 1357, 1395, 1329),
        "something that can change under us becomes part of the program",
    ),
    _family("missing-audit", (223, 778, 779), "nobody can tell afterwards"),
)

BY_NAME: Mapping[str, Family] = MappingProxyType({family.name: family for family in FAMILIES})
BY_CWE: Mapping[int, Family] = MappingProxyType(
    {cwe: family for family in FAMILIES for cwe in family.cwes}
)
_NUMBER = re.compile(r"(\d{1,5})")


def number_of(cwe: str | int) -> int | None:
    """The number in `CWE-89`, `cwe89`, `89` or 89; None where there is none."""
    if isinstance(cwe, int):
        return cwe
    found = _NUMBER.search(cwe)
    return int(found[1]) if found else None


def family_of(cwe: str | int) -> str:
    """The family's name; `CWE-n` for a number that is in none, `unknown` for none at all."""
    number = number_of(cwe)
    if number is None:
        return "unknown"
    family = BY_CWE.get(number)
    return family.name if family else f"CWE-{number}"


def families_of(cwes: Iterable[str | int]) -> frozenset[str]:
    """The families of several numbers."""
    return frozenset(family_of(cwe) for cwe in cwes)
