"""The guide of the doctor, docs/guides/doctor.md: how to ask it, and what each code means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock_cli.doctor.catalogue import CATALOG, Part
from penstock_cli.doctor.codes import Code

PAGE = "docs/guides/doctor.md"
OWNS = (PAGE,)

_HEAD = """\
# The doctor

<!-- Written by `make generate` from penstock_cli/doctor/catalogue.py. Do not edit. -->

`penstock doctor` looks at this machine, the state folder, the settings, NATS, PostgreSQL, the
services and what waits in them. For each fault it says what is wrong, where, and how to mend it:

```console
$ penstock doctor
ok      nats        2.15.1, logins: approval, executor, gateway, scheduler, trigger
broken  events      penstock_scheduler_service may UPDATE stored_events  events_changeable
                    where: 127.0.0.1:26447, database penstock_scheduler, ...
                    mend:  `psql -X -c "REVOKE UPDATE ON stored_events FROM ..." postgresql://...`
1 broken
```

- It works with the stack up, down or half up, with servers of its own or yours
  (`PENSTOCK_NATS_URL`, `PENSTOCK_POSTGRES_URL`), and needs none of what it looks at.
- It changes nothing, and prints no secret. Of a login it tells the name.
- It never hangs: all looks run at the same time, each within a bound. One that has no answer is
  itself a finding.
- Exit status 0: nothing is broken, though something may be degraded. 1: something is broken.
- `penstock doctor --json` gives `{"ok": ..., "findings": [{"code", "subject", "grade", "detail",
  "where", "mend"}]}`; `code` is `ok` for what is well. Codes keep their meaning for ever, new ones
  are added.

It uses the logins of the state folder (`--home`, `PENSTOCK_HOME`), so run it as the user who
started the stack. In a service's own environment, as inside its container, it uses that service's
login, and sees what that one may see. Where a mend runs `psql`, it asks for a password: those of
our own roles stand in `credentials/secrets.json` under `postgres.<role>`; `penstock_admin` is the
administrator of a PostgreSQL that `penstock up` brought.

To see whether the bus keeps users apart, it asks the server for a little that each user must be
refused: the server's log shows one permission violation a user for each examination.

When something is wrong that it does not see: [runbooks](../runbooks/README.md), one for each alert,
and [what fails, and what happens then](../architecture/failure-matrix.md).

## Every code
"""


def page() -> str:
    """Gives the whole page."""
    return _HEAD + "".join(line for part in Part for line in _section(part))


def _section(part: Part) -> Iterator[str]:
    yield f"\n### {part.value}\n\n| code | grade | what is wrong | what mends it |\n"
    yield "| --- | --- | --- | --- |\n"
    for code in Code:
        entry = CATALOG[code]
        if entry.part is part:
            cells = (f"`{code.value}`", entry.grade.value, entry.meaning, entry.mend)
            yield f"| {' | '.join(cells)} |\n"


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the guide."""
    return {PAGE: page()}
