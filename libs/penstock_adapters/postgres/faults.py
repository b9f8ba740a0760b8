"""The driver's and the library's errors as the faults that the runtime knows."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from eventsourcing.persistence import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)

from penstock_runtime.faults import PenstockFault, TransientFault, VersionConflict

_LIBRARY_ERRORS: tuple[tuple[type[psycopg.Error], type[PersistenceError]], ...] = (
    (psycopg.InterfaceError, InterfaceError),
    (psycopg.OperationalError, OperationalError),
    (psycopg.DataError, DataError),
    (psycopg.IntegrityError, IntegrityError),
    (psycopg.InternalError, InternalError),
    (psycopg.ProgrammingError, ProgrammingError),
    (psycopg.NotSupportedError, NotSupportedError),
    (psycopg.DatabaseError, DatabaseError),
)


class UnsupportedServer(PenstockFault):
    """The server is older than PostgreSQL 17, which first lets a role lock without deleting."""


class SchemaOutdated(PenstockFault):
    """The database's tables are absent, older or newer than this program needs; migrate it."""


class StoreRefused(PenstockFault):
    """The database refused a statement that should be in order: a defect, or a missing grant."""


@contextmanager
def as_library_errors() -> Generator[None]:
    """Raise the driver's errors as the library's, as its own recorders do."""
    try:
        yield
    except psycopg.Error as error:
        first = _first_of_pipeline(error)
        for driver_class, library_class in _LIBRARY_ERRORS:
            if isinstance(first, driver_class):
                raise library_class(_sentence(first)) from first
        raise PersistenceError(_sentence(first)) from first


@contextmanager
def as_faults() -> Generator[None]:
    """Raise the driver's and the library's errors as faults.

    The cause is cut off: the server's detail lines may quote a row's values.

    Raises:
        VersionConflict: a unique key exists already.
        TransientFault: the server does not answer, gave up, or may not write just now.
        StoreRefused: anything else.
    """
    try:
        with as_library_errors():
            yield
    except PersistenceError as error:
        raise _fault_of(error) from None


def _fault_of(error: PersistenceError) -> PenstockFault:
    if isinstance(error.__cause__, psycopg.errors.UniqueViolation):
        return VersionConflict(str(error))
    # InternalError: such as a standby that does not take writes yet.
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return TransientFault(str(error))
    return StoreRefused(str(error))


def _first_of_pipeline(error: psycopg.Error) -> psycopg.Error:
    """Statements behind a failed one are reported as aborted, sometimes in its place."""
    while isinstance(error, psycopg.errors.PipelineAborted):
        if not isinstance(error.__context__, psycopg.Error):
            break
        error = error.__context__
    return error


def _sentence(error: psycopg.Error) -> str:
    """Give the server's first sentence, without detail lines."""
    said = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{said} [{error.sqlstate}]" if error.sqlstate else said
