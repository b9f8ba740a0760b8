"""Golden samples, contracts/fixtures/: what was once written is read for ever.

Append-only. A sample is made when its type has none, and from then on only read: neither a
change of a model nor of the sample values touches it. `digests.json` names every sample with its
SHA-256, so that an edited one is seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    chain_hash,
    encode_state,
    genesis_hash,
    published_form,
)
from penstock_contracts.registry import COMMANDS, EVENTS
from penstock_testkit.generate._samples import AT_US, RUN, TENANT, TRACE, TRIGGER_ID, sample

FOLDER = "contracts/fixtures"
DIGESTS = f"{FOLDER}/digests.json"
CHAIN = f"{FOLDER}/records/v1/chain.json"
CHAINED = (
    "run.run_started.v1",
    "run.task_scheduled.v1",
    "run.node_succeeded.v1",
    "run.run_succeeded.v1",
)


def place_of(message_type: str, name: str) -> str:
    """The path of a sample: `run.node_failed.v1` is kept in `run.node_failed/v1/`."""
    kind, _, number = message_type.rpartition(".")
    return f"{FOLDER}/{kind}/{number}/{name}.json"


def new_samples() -> dict[str, str]:
    """Makes a full and, where it differs, a least sample of every current type."""
    files: dict[str, str] = {}
    for message_type, model in {**EVENTS, **COMMANDS}.items():
        full = sample(message_type, model, full=True).to_data()
        least = sample(message_type, model, full=False).to_data()
        files[place_of(message_type, "full")] = _text({"type": message_type, "data": full})
        if least != full:
            files[place_of(message_type, "least")] = _text({"type": message_type, "data": least})
    files[CHAIN] = _text(chain())
    return files


def chain() -> list[dict[str, Any]]:
    """Stored records of one partition with the hashes before and after each."""
    head = genesis_hash("run-0")
    entries: list[dict[str, Any]] = []
    for n, topic in enumerate(CHAINED, 1):
        meta = EventMeta(
            time_us=AT_US + n,
            tenant=TENANT if n % 2 else "acme",
            causation_id=f"cause-{n}",
            correlation_id=TRIGGER_ID if n > 1 else "",
            actor="service:scheduler",
            traceparent=TRACE if n > 1 else None,
        )
        data = sample(topic, EVENTS[topic], full=n > 1).to_data()
        state = encode_state(meta, head, data)
        record = StoredRecord(RUN, n, topic, state, "run-0", n, 100 + n)
        after = chain_hash(head, RUN, n, topic, state)
        entries.append(
            {
                "partition": record.partition,
                "n": n,
                "aggregate_id": RUN,
                "version": n,
                "topic": topic,
                "state": state.decode(),
                "hash_before": head.hex(),
                "hash_after": after.hex(),
                "published": published_form(record).decode(),
            }
        )
        head = after
    return entries


def _text(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def digest_of(text: str) -> str:
    """The digest under which a sample is listed."""
    return hashlib.sha256(text.encode()).hexdigest()


def generate(root: Path) -> Mapping[str, str]:
    """Adds samples of types that have none, and lists what is not listed yet."""
    files: dict[str, str] = {}
    for path, text in new_samples().items():
        kept = root / path
        files[path] = kept.read_text(encoding="utf-8") if kept.is_file() else text
    listed: dict[str, str] = {}
    if (root / DIGESTS).is_file():
        listed = json.loads((root / DIGESTS).read_text(encoding="utf-8"))
    digests = {path: digest_of(text) for path, text in files.items()} | listed
    files[DIGESTS] = _text(dict(sorted(digests.items())))
    return files
