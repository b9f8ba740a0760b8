"""Derived ids are the same for ever."""

from __future__ import annotations

import hashlib
from uuid import RFC_4122, UUID

import pytest

from penstock_contracts import ids

RUN = "e6a3f1f2-16dc-88a6-8a3a-3e5d7a1ac6f7"
VECTORS = {
    ids.run_id("default", "demo", "ce:here#1"): ("run", "default", "demo", "ce:here#1"),
    ids.task_id(RUN, "scan", 2, "apply"): ("task", RUN, "scan", "2", "apply"),
    ids.approval_id(RUN, "decide", 1): ("approval", RUN, "decide", "1"),
    ids.idempotency_key(RUN, "scan"): ("idempotency", RUN, "scan"),
    ids.workflow_id("default", "demo"): ("workflow", "default", "demo"),
    ids.agent_id("default", "scanner"): ("agent", "default", "scanner"),
    ids.token_id("default", "ci"): ("token", "default", "ci"),
    ids.trigger_aggregate_id("default", "ce:here#1"): ("trigger", "default", "ce:here#1"),
    ids.parked_id("run-0", "RUNS", 7, 9): ("parked", "run-0", "RUNS", "7", "9"),
    ids.refused_id("run-0", "c-1"): ("refused", "run-0", "c-1"),
}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("run",), "4c77fee1-e48c-86d5-9053-e55fb661936e"),
        (("run", "default", "demo", "t-1"), "9693bffa-d83f-8244-9530-f96184a45501"),
        (("run", "défaut", "", "\N{SNOWMAN}"), "c7725253-242f-8068-a6bd-0c5194d250bb"),
    ],
)
def test_known_parts_give_the_id_they_always_gave(parts: tuple[str, ...], expected: str):
    assert ids.derive(*parts) == expected


@pytest.mark.parametrize("made", VECTORS)
def test_every_id_is_derived_from_its_kind_and_names_in_order(made: str):
    assert made == ids.derive(*VECTORS[made])
    assert len(set(VECTORS)) == len(VECTORS)


def test_the_parts_are_prefixed_by_their_length_in_bytes():
    assert ids.derive("k", "ab", "c") != ids.derive("k", "a", "bc")
    assert ids.derive("k", "a") != ids.derive("k", "a", "")
    assert ids.derive("ka") != ids.derive("k", "a")
    text = b"\x00\x00\x00\x01k\x00\x00\x00\x02\xc3\xa9"
    head = bytearray(hashlib.sha256(text).digest()[:16])
    head[6] = head[6] & 0x0F | 0x80
    head[8] = head[8] & 0x3F | 0x80
    assert ids.derive("k", "é") == str(UUID(bytes=bytes(head)))


def test_an_id_is_a_uuid_of_version_8():
    for number in range(200):
        uuid = UUID(ids.derive("k", str(number)))
        assert (uuid.version, uuid.variant) == (8, RFC_4122)
