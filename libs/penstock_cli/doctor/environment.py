"""Settings in the environment: names that nobody reads, values refused, pairs that contradict."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Final

from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_cli.access import HOME_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, found, well
from penstock_cli.services import IN_ORDER, part_of_service
from penstock_cli.stack_view import ALLOW_VARIABLE, SANDBOX_VARIABLE
from penstock_runtime.settings import (
    FILE_SUFFIX,
    PREFIX,
    SECRET_PREFIX,
    Settings,
    SettingsFault,
    load_settings,
    variable,
)

SUBJECT: Final = "settings"
WHERE: Final = "environment"
OWN: Final = (HOME_VARIABLE, URL_VARIABLE, TOKEN_VARIABLE, "PENSTOCK_INSTANCE")
OTHERS_PREFIXES: Final = (SECRET_PREFIX, "PENSTOCK_TEST_")
# Those that a service is given by the supervisor: in the shell of `penstock up` they mean another
# thing (the servers' addresses, without the service's own login).
_NOT_GIVEN: Final = " is missing ("  # what `load_settings` says of a required one
GIVEN: Final = (NATS_URL_VARIABLE, POSTGRES_URL_VARIABLE, "PENSTOCK_NAME")


def look_at_settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Judge all `PENSTOCK_*` variables; none of their values is repeated."""
    faults = [*_unknown(environ), *_invalid(environ), *_contradictions(environ)]
    yield from faults
    if not faults:
        count = sum(name.startswith(PREFIX) for name in environ)
        yield well(SUBJECT, f"{count} PENSTOCK_ variables, all known")


def models() -> dict[str, type[Settings]]:
    """Give each installed service's settings model."""
    parts = {name: part_of_service(name, "settings") for name in IN_ORDER}
    return {name: _model(module) for name, module in parts.items() if module is not None}


def _model(module: ModuleType) -> type[Settings]:
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and value.__module__ == module.__name__
    )


def known_variables() -> frozenset[str]:
    """Name every variable that something reads."""
    fields = {variable(name) for model in models().values() for name in model.model_fields}
    return frozenset({*OWN, *fields, *(name + FILE_SUFFIX for name in fields)})


def _unknown(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = known_variables()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or name.startswith(OTHERS_PREFIXES):
            continue
        near = difflib.get_close_matches(name, sorted(known), 1)
        mend = f"`unset {name}`" + (f", or did you mean {near[0]}?" if near else "")
        yield found(
            Code.SETTING_UNKNOWN, SUBJECT, f"nothing reads {name}", f"{WHERE}: {name}", mend
        )


def _invalid(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say what services would refuse, of what is set; each fault once."""
    told: dict[str, str] = {}
    given = {name: value for name, value in environ.items() if name not in GIVEN}
    for service, model in models().items():
        try:
            load_settings(model, given)
        except SettingsFault as refused:
            for fault in refused.faults:
                if not fault.partition(":")[2].startswith(_NOT_GIVEN):
                    told.setdefault(fault, service)
    for fault, service in told.items():
        name, _, text = fault.partition(":")
        if name in GIVEN:
            continue
        detail = f"{service} refuses {name}:{text}"
        mend = f"set {name} to what docs/reference/settings.md allows, or `unset {name}`"
        yield found(Code.SETTING_INVALID, SUBJECT, detail, f"{WHERE}: {name}", mend)


def _contradictions(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(environ):
        plain = name.removesuffix(FILE_SUFFIX)
        both = name != plain and environ[name] and environ.get(plain)
        if name.startswith(PREFIX) and both and plain in known_variables():
            yield _contradiction(name, f"{plain} is set as well, and wins", f"`unset {name}`")
    allowed = environ.get(ALLOW_VARIABLE) == "1"
    kind = environ.get(SANDBOX_VARIABLE, "")
    if allowed and kind in ("bubblewrap", "dagger"):
        detail = f"{SANDBOX_VARIABLE} asks for {kind}, and {ALLOW_VARIABLE} allows to do without"
        yield _contradiction(ALLOW_VARIABLE, detail, f"`unset {ALLOW_VARIABLE}`")
    pool, pools = environ.get("PENSTOCK_POOL", ""), environ.get("PENSTOCK_POOLS", "")
    listed = [name.strip() for name in (pools or "default").split(",")]
    if pool and pools and pool not in listed:
        detail = f"executors of pool {pool} would wait: PENSTOCK_POOLS does not name it"
        mend = f"`export PENSTOCK_POOLS={','.join([*listed, pool])}`"
        yield _contradiction("PENSTOCK_POOLS", detail, mend)


def _contradiction(name: str, detail: str, mend: str) -> Finding:
    return found(Code.SETTINGS_CONTRADICT, SUBJECT, detail, f"{WHERE}: {name}", mend)
