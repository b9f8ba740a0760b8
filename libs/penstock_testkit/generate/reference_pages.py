"""Pages of reference: events, commands, subjects, streams and metrics, in docs/reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel

from penstock_adapters.nats.streams import DAY_NS, MIB, UNBOUNDED, stream_settings
from penstock_contracts.registry import COMMANDS, EVENTS, kind_of
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_runtime.telemetry import metrics
from penstock_testkit.generate._channels import Channel, channels, owner_of, reads, sends, services
from penstock_testkit.generate._messages import TASKS, summary_of
from penstock_testkit.generate.schemas import FOLDER as SCHEMAS

FOLDER = "docs/reference"
NAMES = ("events", "commands", "subjects", "streams", "metrics")
OWNS = tuple(f"{FOLDER}/{name}.md" for name in NAMES)


def _page(title: str, source: str, text: str, body: Iterable[str]) -> str:
    note = f"<!-- Written by `make generate` from {source}. Do not edit. -->"
    return f"# {title}\n\n{note}\n\n{text}\n\n" + "\n".join(body) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _by_kind(models: Mapping[str, type[BaseModel]]) -> Iterable[str]:
    for kind in dict.fromkeys(map(kind_of, models)):
        rows = [
            (_schema_link(name), _cell(summary_of(model)), _fields(model))
            for name, model in models.items()
            if kind_of(name) == kind
        ]
        yield f"## {kind}\n"
        yield from _table(("type", "meaning", "data"), rows)
        yield ""


def _schema_link(message_type: str) -> str:
    return f"[`{message_type}`](../../{SCHEMAS}/{message_type}.json)"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fields(model: type[BaseModel]) -> str:
    """Names of the fields; those in brackets may be absent."""
    names = [
        f"`{field.alias or name}`" if field.is_required() else f"[`{field.alias or name}`]"
        for name, field in model.model_fields.items()
    ]
    return ", ".join(names) or "none"


def events() -> str:
    """The page of all events."""
    text = (
        "Every fact that is ever stored, by kind. Fields in brackets are left out when they stand "
        "at their default. A shape changes only by a new version and an upcaster; one sample of "
        "each is kept in [contracts/fixtures](../../contracts/fixtures)."
    )
    return _page("Events", "the models in penstock_contracts", text, _by_kind(EVENTS))


def commands() -> str:
    """The page of all commands and task messages."""
    text = (
        "Every request that may be refused, by kind, and the messages between scheduler and "
        "executors. Fields in brackets are left out when they stand at their default."
    )
    return _page(
        "Commands", "the models in penstock_contracts", text, _by_kind({**COMMANDS, **TASKS})
    )


def subjects() -> str:
    """The page of all subjects, with who may publish and who reads."""
    text = (
        "Where each message travels, and what the bus's permissions let each service do there. "
        "The same as a document for machines: "
        "[AsyncAPI](../../contracts/asyncapi/penstock.json)."
    )
    body: list[str] = []
    for channel in channels():
        body.append(f"## `{_shown(channel.address)}`\n")
        body.append(channel.summary + "\n")
        body += _table(("token", "meaning"), channel.parameters.items())
        body.append("")
        body += _table(("", "who"), [("publish", _senders(channel)), ("read", _readers(channel))])
        body.append("")
    return _page("Subjects", "penstock_contracts/subjects.py and permissions.py", text, body)


def _shown(address: str) -> str:
    return address.replace("{", "<").replace("}", ">")


def _senders(channel: Channel) -> str:
    found: list[str] = []
    for user, given in services().items():
        types = sends(given, channel)
        if types is None:
            continue
        some = types and len(types) < len(channel.messages)
        found.append(f"{user.value} ({_types(channel, types)})" if some else user.value)
    return "; ".join(found)


def _types(channel: Channel, types: list[str]) -> str:
    left_out = [name for name in channel.messages if name not in types]
    if len(left_out) < len(types):
        return "all but " + ", ".join(f"`{name}`" for name in left_out)
    return ", ".join(f"`{name}`" for name in types)


def _readers(channel: Channel) -> str:
    return ", ".join(user.value for user, given in services().items() if reads(given, channel))


def streams() -> str:
    """The page of all streams with their settings."""
    rows = [_stream_row(stream) for stream in Stream]
    text = (
        "The JetStream streams. None is the truth: each may be lost and is made again from the "
        "event stores. None allows schedules, rollups, per-message lifetimes or counters."
    )
    head = ("stream", "subjects", "owner", "keeps", "when full", "at most", "atomic batches")
    return _page(
        "Streams", "the settings in penstock_adapters/nats/streams.py", text, _table(head, rows)
    )


def _stream_row(stream: Stream) -> tuple[str, ...]:
    settings = stream_settings(stream)
    keeps = "until processed" if settings["retention"] == "workqueue" else "until purged"
    if settings["max_age"]:
        keeps = f"{settings['max_age'] // DAY_NS} days"
    full = "refuses new" if settings["discard"] == "new" else "drops the oldest"
    if settings["max_msgs_per_subject"] == 1:
        full = "refuses new, and a second message on a subject"
    size = settings["max_bytes"]
    most = "the disk" if size == UNBOUNDED else f"{size // MIB} MiB"
    atomic = "yes" if settings["allow_atomic"] else "no"
    patterns = "<br>".join(f"`{pattern}`" for pattern in STREAM_SUBJECTS[stream])
    return stream.value, patterns, owner_of(stream).value, keeps, full, most, atomic


def metrics_page() -> str:
    """The page of all metrics."""
    found = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    rows = [
        (
            f"`{metric.name}`",
            metric.kind.value,
            metrics.unit_of(metric),
            ", ".join(f"`{label}`" for label in metric.labels) or "none",
            _cell(metric.help),
        )
        for metric in found
    ]
    text = (
        "What `/metrics` of the services shows, in Prometheus' text format. Nothing is labelled by "
        "an id: runs, tasks and people are found in traces and logs. A `timestamp` is seconds "
        "since the epoch, so that `time() - ...` is an age whenever it is asked for. Dashboards "
        "and alerts made of these are in [deploy](../../deploy/README.md)."
    )
    return _page(
        "Metrics",
        "penstock_runtime/telemetry/metrics.py",
        text,
        _table(("metric", "kind", "unit", "labels", "meaning"), rows),
    )


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the pages."""
    texts = (events(), commands(), subjects(), streams(), metrics_page())
    return dict(zip(OWNS, texts, strict=True))
