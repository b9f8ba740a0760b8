"""Settings of every service: `PENSTOCK_*` environment variables, validated once, at the start.

A service's settings are one frozen model that derives from the families below. Field `nats_url`
is read from `PENSTOCK_NATS_URL`; an empty variable counts as absent, as Compose files write it
so. All faults are reported together, and none of them repeats the offending value. Any of them may
be given as a file: for `nats_password` `PENSTOCK_NATS_PASSWORD_FILE` names it. A secret is a
`SecretStr` and has no default other than None.
"""

import socket
from collections.abc import Mapping
from enum import Enum, EnumType
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeVar, Union, cast, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from penstock_runtime.faults import PenstockFault

PREFIX = "PENSTOCK_"
FILE_SUFFIX = "_FILE"
MIN_SECRET_CHARS = 4
SECRET_PREFIX = "PENSTOCK_SECRET_"  # noqa: S105 - of variables that hold agents' secrets
MAX_SECRET_FILE_BYTES = 64 * 1024

LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsFault(PenstockFault):
    """The environment does not describe a service that could run.

    Attributes:
        faults: one sentence each, beginning with the variable's name.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Settings(BaseModel):
    """Root of all settings models; fields carry a `description` for the generated tables."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServiceSettings(Settings):
    """What every service process has."""

    name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of this instance, no other's, the same after a restart (default: the "
        "host's name, with a number where another instance on the machine has that)",
    )
    log_level: LogLevel = Field(default="info", description="least severe log line written")
    ops_host: str = Field(
        default="127.0.0.1", description="address of `/health/live`, `/health/ready`, `/metrics`"
    )
    ops_port: int = Field(
        default=0, ge=0, le=65_535, description="their port; 0: a free one, named in the log"
    )
    grace_s: float = Field(
        default=30.0, ge=0, le=3_600, description="seconds that running work has left at a stop"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
        description="OpenTelemetry collector that traces are sent to by OTLP, as "
        "`http://localhost:4317`; without it `OTEL_EXPORTER_OTLP_ENDPOINT`, and without both "
        "there are no traces; by gRPC unless `OTEL_EXPORTER_OTLP_PROTOCOL` says `http/protobuf`",
    )
    otlp_logs: bool = Field(
        default=False, description="send the service's log lines to the same collector, too"
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="part of all traces that is kept, chosen by the trace's id: the same number "
        "for all services keeps whole traces",
    )


class NatsSettings(Settings):
    """How to reach NATS. Each connection has its own credentials and inbox prefix."""

    nats_url: str = Field(min_length=1, description="server, or several separated by commas")
    nats_user: str | None = Field(default=None, description="user of this connection")
    nats_password: SecretStr | None = Field(default=None, description="the user's password")
    nats_inbox_prefix: str = Field(
        default="_INBOX", min_length=1, description="where answers to this connection arrive"
    )


class StreamOwnerSettings(NatsSettings):
    """What a service needs to know that creates streams."""

    nats_replicas: int | None = Field(
        default=None,
        ge=1,
        le=5,
        description="servers of a NATS cluster that keep each stream of this service: 3 to go on "
        "without one of them; the same for schedulers and approval services. It may be changed at "
        "any time, and streams keep what they hold. Without it new streams are kept by one server, "
        "and those that exist by as many as they are",
    )


class PostgresSettings(Settings):
    """How to reach the service's own database."""

    postgres_url: SecretStr = Field(
        description="connection URL of the service's database and its service role"
    )
    postgres_owner_url: SecretStr | None = Field(
        default=None,
        description="connection URL of the same database's owner role; with it the service "
        "brings the tables up to date at its start",
    )


SettingsT = TypeVar("SettingsT", bound=Settings)


def variable(field: str) -> str:
    """Name of the environment variable that sets `field`."""
    return PREFIX + field.upper()


def load_settings(model: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """Read a settings model from the environment.

    Raises:
        SettingsFault: with every fault found, not only the first.
    """
    values: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name in model.model_fields:
        raw = environ.get(variable(name), "")
        if not raw:
            raw = _from_file(name, environ, faults)
        if raw:
            values[name] = raw
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        for name, text in _described(model, error):
            faults.setdefault(name, text)
    else:
        if not faults:
            return settings
    raise SettingsFault(tuple(faults.values()))


def secrets_of(settings: ServiceSettings, environ: Mapping[str, str]) -> list[str]:
    """Give every secret that a process knows from its environment: its own, and the agents'.

    Very short ones are left out: taking them out of texts would leave little of these.
    """
    values: list[object] = [getattr(settings, name) for name in type(settings).model_fields]
    own = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    given = [value for name, value in environ.items() if name.startswith(SECRET_PREFIX)]
    inside = [urlsplit(value).password or "" for value in own if "://" in value]
    return [value for value in (*own, *inside, *given) if len(value) >= MIN_SECRET_CHARS]


def _from_file(name: str, environ: Mapping[str, str], faults: dict[str, str]) -> str:
    path = environ.get(variable(name) + FILE_SUFFIX, "")
    if not path:
        return ""
    try:
        with Path(path).open(encoding="utf-8") as source:
            return source.read(MAX_SECRET_FILE_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        faults[name] = f"{variable(name)}{FILE_SUFFIX}: {path} cannot be read: {reason}"
        return ""


def _described(model: type[Settings], error: ValidationError) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        field = model.model_fields.get(name)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing" and field is not None:
            message = f"is missing ({field.description})"
        found.append((name, f"{variable(name)}: {message}" if name else message))
    return found


# --- tables for the READMEs ---------------------------------------------------------------------


def settings_table(model: type[Settings]) -> str:
    """Give a Markdown table of all variables of `model`, in the order of its fields."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        shown = variable(name)
        kind = _type_name(field)
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{shown}` | {kind} | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a field holds a secret."""
    return SecretStr in _flat(field.annotation)


def _flat(annotation: object) -> tuple[object, ...]:
    """Give the alternatives of a union, without its None, or the annotation alone."""
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(part for part in get_args(annotation) if part is not NoneType)
    return (annotation,)


_TYPE_NAMES: Mapping[object, str] = {
    SecretStr: "secret",
    str: "text",
    int: "integer",
    float: "number",
    bool: "0 or 1",
    Path: "path",
}


def _type_name(field: FieldInfo) -> str:
    return ", ".join(_shown(part) for part in _flat(field.annotation))


def _shown(part: object) -> str:
    if get_origin(part) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(part))
    if get_origin(part) is tuple:
        return "list"
    if isinstance(part, EnumType):
        return " \\| ".join(f"`{member.value}`" for member in cast("type[Enum]", part))
    return _TYPE_NAMES.get(part, "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: object = field.default
    if field.default_factory is not None:
        return "see meaning"
    if default is None or default in ((), ""):
        return "none"
    if isinstance(default, bool):
        return f"`{int(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
