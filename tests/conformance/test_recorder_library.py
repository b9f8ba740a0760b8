"""The library's own suites for application recorders, over our recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.tests.persistence import (
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from penstock_adapters.postgres.datastore import Datastore
from penstock_adapters.postgres.recorder import PenstockRecorder
from penstock_testkit.servers import RealPostgres

pytestmark = pytest.mark.real

CONNECTIONS = 10  # as many as the suite has writers at once


@pytest.fixture
def new_recorder(postgres: RealPostgres) -> Iterator[Callable[[], PenstockRecorder]]:
    opened: list[Datastore] = []

    def make() -> PenstockRecorder:
        opened.append(Datastore(postgres.fresh_database().owner, connections=CONNECTIONS))
        recorder = PenstockRecorder(opened[-1])
        recorder.create_table()
        return recorder

    yield make
    for datastore in opened:
        datastore.close()


class OverPenstock:
    """Hands the fixture to suites that are written for unittest."""

    @pytest.fixture(autouse=True)
    def provide(self, new_recorder: Callable[[], PenstockRecorder]) -> None:
        self.create_recorder = new_recorder


class TestApplicationRecorder(OverPenstock, ApplicationRecorderTestCase[PenstockRecorder]):
    def create_recorder(self) -> PenstockRecorder:
        raise AssertionError("replaced by the fixture")

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIds(OverPenstock, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> PenstockRecorder:
        raise AssertionError("replaced by the fixture")


def event(version: int) -> StoredEvent:
    return StoredEvent(ORIGINATOR, version, "topic", b"state")


ORIGINATOR = uuid4()


def test_no_events_are_no_insert(new_recorder: Callable[[], PenstockRecorder]) -> None:
    assert new_recorder().insert_events([]) is None


def test_selects_by_version(new_recorder: Callable[[], PenstockRecorder]) -> None:
    recorder = new_recorder()
    recorder.insert_events([event(version) for version in range(5)])
    assert recorder.select_events(ORIGINATOR, gt=0, lte=3) == [event(1), event(2), event(3)]
    assert recorder.select_events(ORIGINATOR, desc=True, limit=1) == [event(4)]


def test_conflict_is_reported_once_and_leaves_the_recorder_usable(
    new_recorder: Callable[[], PenstockRecorder],
) -> None:
    recorder = new_recorder()
    recorder.insert_events([event(1)])
    for stack in ([event(1)], [event(2), event(1)], [event(2), event(2)]):
        with pytest.raises(IntegrityError):
            recorder.insert_events(stack)
    assert recorder.select_events(ORIGINATOR) == [event(1)]
    assert recorder.insert_events([event(2)]) is not None


def test_creating_the_table_again_is_no_fault(
    new_recorder: Callable[[], PenstockRecorder],
) -> None:
    recorder = new_recorder()
    recorder.insert_events([event(1)])
    recorder.create_table()
    assert recorder.max_notification_id() is not None
