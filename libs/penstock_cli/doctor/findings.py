"""What a look gives: findings, each with its code, its place and its mend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from penstock_cli.doctor.catalogue import CATALOG
from penstock_cli.doctor.codes import Code, Grade

WELL = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        code: which fault it is; None: it is well.
        subject: what was looked at, in a word or two.
        grade: how it is.
        detail: what was seen.
        where: the place: a file, an address, a stream, a role.
        mend: what to do, if it is not well: a command or a setting.
    """

    code: Code | None
    subject: str
    grade: Grade
    detail: str
    where: str = ""
    mend: str = ""

    def document(self) -> dict[str, str]:
        """Give it for scripts."""
        return {
            "code": WELL if self.code is None else self.code.value,
            "subject": self.subject,
            "grade": self.grade.value,
            "detail": self.detail,
            "where": self.where,
            "mend": self.mend,
        }


class Relief(StrEnum):
    """Mends that several faults share."""

    RESTART = "`penstock down`, then `penstock up --detach`"


def well(subject: str, detail: str, where: str = "") -> Finding:
    """Say that something is as it should be."""
    return Finding(None, subject, Grade.OK, detail, where)


def found(
    code: Code, subject: str, detail: str, where: str, mend: str, grade: Grade | None = None
) -> Finding:
    """Say what is wrong, with the code's own grade unless another is given."""
    return Finding(code, subject, grade or CATALOG[code].grade, detail, where, mend)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what several roles or users met."""
    return list(dict.fromkeys(findings))
