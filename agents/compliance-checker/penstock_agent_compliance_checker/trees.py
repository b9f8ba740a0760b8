"""What a licence expression says, as a tree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class One:
    """A licence.

    Attributes:
        id: SPDX identifier, or `LicenseRef-...`.
        or_later: Later versions may be chosen too.
        exception: What `WITH` adds.
    """

    id: str
    or_later: bool = False
    exception: str | None = None

    def __str__(self) -> str:
        name = f"{self.id}+" if self.or_later and not self.id.endswith("-or-later") else self.id
        return f"{name} WITH {self.exception}" if self.exception else name


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these holds at once (`AND`)."""

    parts: tuple["Tree", ...]

    def __str__(self) -> str:
        return " AND ".join(_inside(part, AnyOf) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The licensee chooses one (`OR`)."""

    parts: tuple["Tree", ...]

    def __str__(self) -> str:
        return " OR ".join(_inside(part, AllOf) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Unclear:
    """A name that several licences go by (`BSD`); one of them, nobody says which."""

    name: str
    candidates: tuple["Tree", ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing that is known as a licence."""

    name: str

    def __str__(self) -> str:
        return self.name or "(nothing)"


Tree = One | AllOf | AnyOf | Unclear | Unknown

PROPRIETARY = One("LicenseRef-proprietary")


def _inside(part: Tree, bracketed: type) -> str:
    return f"({part})" if isinstance(part, bracketed) else str(part)


def leaves(tree: Tree) -> list[One]:
    """The licences a tree names; an unclear name counts with its candidates."""
    found: list[One] = []
    for one in named_in(tree):
        if isinstance(one, One):
            found.append(one)
        elif isinstance(one, Unclear):
            found += [leaf for part in one.candidates for leaf in leaves(part)]
    return found


def named_in(tree: Tree) -> list[One | Unclear | Unknown]:
    """Every name in a tree, in its order, known or not."""
    if isinstance(tree, AllOf | AnyOf):
        return [leaf for part in tree.parts for leaf in named_in(part)]
    return [tree]
