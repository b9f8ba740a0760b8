"""Something that answers HTTP requests, and the headers it is seen to set."""

from dataclasses import dataclass, field
from typing import Literal

from penstock_agent_compliance_checker.header_values import Header, Setting

# proxy: a server in front, whose headers reach what it serves. app: a program.
Role = Literal["proxy", "app"]


@dataclass
class Serving:
    """One thing that serves.

    Attributes:
        what: Its name for people, such as `nginx server block`.
        role: In front, or behind.
        language: Programs of one language share what their files set; empty for servers.
        file: Where it is.
        line: Where in the file.
        settings: Headers it sets.
        off: Headers that are switched off, and where.
        plain: It answers plain HTTP only, so that HSTS would have no effect.
        forwards: It passes requests to a program behind it.
        given: Headers its framework sets by itself.
    """

    what: str
    role: Role
    language: str
    file: str
    line: int
    settings: list[Setting] = field(default_factory=list["Setting"])
    off: dict[Header, int] = field(default_factory=dict["Header", int])
    plain: bool = False
    forwards: bool = False
    given: frozenset[Header] = frozenset()


@dataclass
class Seen:
    """What one file shows.

    Attributes:
        serving: What serves in it.
        settings: Headers that are set in it for whatever serves elsewhere.
        off: Headers that are switched off for whatever serves elsewhere, and where.
        given: Headers that a library used in it sets.
    """

    serving: list[Serving] = field(default_factory=list["Serving"])
    settings: list[Setting] = field(default_factory=list["Setting"])
    off: dict[Header, int] = field(default_factory=dict["Header", int])
    given: frozenset[Header] = frozenset()
