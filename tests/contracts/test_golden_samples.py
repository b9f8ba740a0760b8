"""What was once written is read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from penstock_contracts.records import (
    StoredRecord,
    chain_hash,
    decode_state,
    encode_state,
    genesis_hash,
    published_form,
    read_published,
    read_record,
    stored_part,
)
from penstock_contracts.registry import COMMANDS, EVENTS, read_command, read_event, type_of
from penstock_contracts.values import Wire
from penstock_testkit.generate import Generator, write
from penstock_testkit.generate._samples import sample
from penstock_testkit.generate.golden import (
    CHAIN,
    DIGESTS,
    FOLDER,
    digest_of,
    generate,
    new_samples,
)
from tests.architecture.tree import ROOT

SAMPLES = sorted(str(file.relative_to(ROOT)) for file in (ROOT / FOLDER).glob("*.*/v*/*.json"))


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SAMPLES)
def test_a_sample_is_read_and_says_the_same_again(path: str):
    found = read(path)
    topic, data = found["type"], found["data"]
    assert path.startswith(f"{FOLDER}/{topic.rpartition('.')[0]}/{topic.rpartition('.')[2]}/")
    body = read_command(topic, data) if topic in COMMANDS else read_event(topic, data)
    if type_of(body) == topic:  # an older version comes out as a newer one
        assert body.to_data() == data


@pytest.mark.parametrize("path", SAMPLES)
def test_a_sample_fits_the_schema_of_its_type(path: str):
    found = read(path)
    schema = read(f"contracts/schemas/{found['type']}.json")
    Draft202012Validator(schema).validate(found["data"])


def test_no_type_is_without_a_sample():
    assert {read(path)["type"] for path in SAMPLES} >= set(EVENTS) | set(COMMANDS)


def test_no_sample_was_changed_removed_or_left_unlisted():
    listed: dict[str, str] = read(DIGESTS)
    present = {
        str(file.relative_to(ROOT)): digest_of(file.read_text(encoding="utf-8"))
        for file in (ROOT / FOLDER).rglob("*.json")
        if file != ROOT / DIGESTS
    }
    assert present == listed, "samples are only ever added: give a changed shape a new version"


def test_samples_that_are_made_anew_would_be_read_as_well(tmp_path: Path):
    for path, text in new_samples().items():
        if path != CHAIN:
            made = json.loads(text)
            known = {**EVENTS, **COMMANDS}[made["type"]]
            assert known.model_validate(made["data"]).to_data() == made["data"]


def test_the_generator_only_adds(tmp_path: Path):
    generator = Generator("golden", generate, ())
    write(tmp_path, [generator])
    old, gone = sorted(new_samples())[:2]
    (tmp_path / old).write_text("{}")
    (tmp_path / gone).unlink()
    assert [item.path for item in write(tmp_path, [generator])] == [gone]
    assert (tmp_path / old).read_text() == "{}"
    digests = json.loads((tmp_path / DIGESTS).read_text())
    assert digests[old] != digest_of("{}")


def test_a_field_without_a_sample_value_is_named():
    class Strange(Wire):
        strangeness: int

    with pytest.raises(LookupError, match=r"no sample value for x\.strange\.v1, field strangeness"):
        sample("x.strange.v1", Strange, full=True)


def test_the_hash_rule_has_not_drifted():
    head = genesis_hash("run-0")
    for entry in read(CHAIN):
        state = entry["state"].encode()
        assert entry["hash_before"] == head.hex()
        assert decode_state(state)[1] == head.hex()
        head = chain_hash(head, entry["aggregate_id"], entry["version"], entry["topic"], state)
        assert entry["hash_after"] == head.hex()
    assert genesis_hash("run-0").hex() == (
        "ea056cf9bd74a47f90041095dee51bc10495d41e9f9e8e07e2fcc094b9690e03"
    )


def test_stored_and_published_forms_have_not_drifted():
    for entry in read(CHAIN):
        state = entry["state"].encode()
        record = StoredRecord(
            entry["aggregate_id"], entry["version"], entry["topic"], state,
            entry["partition"], entry["n"], 0,
        )  # fmt: skip
        told = read_record(record)
        published = entry["published"].encode()
        assert published_form(record) == published
        assert read_published(published) == told
        assert stored_part(published) == state
        assert encode_state(told.meta, bytes.fromhex(told.prev_hash), told.data) == state
        schema = read("contracts/schemas/envelope.v1.json")
        Draft202012Validator(schema).validate(json.loads(published))
