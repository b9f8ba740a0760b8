"""The examination: every look at the same time, each within its bound."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_adapters.embedded.status import StackState
from penstock_cli.doctor.bus import BusSight, see_bus
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.environment import look_at_settings
from penstock_cli.doctor.findings import Finding, found, well
from penstock_cli.doctor.machine import (
    Machine,
    look_at_disk,
    look_at_interpreter,
    look_at_parts,
    look_at_ports,
    look_at_sandbox,
    this_machine,
)
from penstock_cli.doctor.partitions import judge_partitions
from penstock_cli.doctor.processes import StackSight, ask_services, see_stack
from penstock_cli.doctor.reach import Reach, find_reach
from penstock_cli.doctor.state_folder import look_at_folder
from penstock_cli.doctor.stores import StoreSight, see_stores
from penstock_cli.doctor.streams import judge_streams
from penstock_cli.doctor.work import judge_work
from penstock_cli.stack_view import relative

LOOK_WITHIN_S: Final = 20.0
DEFAULT_POOL: Final = "default"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is examined.

    Attributes:
        folder: the state folder.
        environ: of whoever asks.
        machine: the machine, or another one in its place.
        url: a gateway that was named; "": the stack's own.
        version: of this release; "": unknown.
    """

    folder: StateFolder
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    machine: Machine = field(default_factory=lambda: this_machine(os.environ))
    url: str = ""
    version: str = ""
    within_s: float = LOOK_WITHIN_S


async def examine(scene: Scene) -> list[Finding]:
    """Look at everything, and give what was found in the order of a person's reading."""
    stack, told = await _bounded(
        scene, "the stack's status", in_thread(lambda: see_stack(scene.folder)), _nothing_seen()
    )
    around = asyncio.ensure_future(_look_around(scene, stack))
    reach = find_reach(scene.folder, scene.environ)
    bus, stores, servers = await _look_at_servers(scene, stack, reach)
    judged = await _judge(scene, stack, reach, bus, stores)
    return [*await around, *told, *servers, *judged]


def _nothing_seen() -> tuple[StackSight, list[Finding]]:
    return StackSight(None), []


async def _look_around(scene: Scene, stack: StackSight) -> list[Finding]:
    """Look at machine, folder, settings and services."""
    machine, folder, environ = scene.machine, scene.folder, scene.environ

    def listed(name: str, look: Callable[[], Iterable[Finding]]) -> Awaitable[list[Finding]]:
        return _bounded(scene, name, in_thread(lambda: list(look())), [])

    looked = await asyncio.gather(
        listed("interpreter", lambda: look_at_interpreter(machine)),
        listed("installed parts", lambda: look_at_parts(environ)),
        _bounded(scene, "sandbox", look_at_sandbox(machine, environ), []),
        listed("disk", lambda: look_at_disk(machine, folder)),
        listed("ports", lambda: look_at_ports(folder, environ, running=stack.runs)),
        listed("state folder", lambda: look_at_folder(folder, machine.uid)),
        listed("settings", lambda: look_at_settings(environ)),
        _bounded(scene, "services", ask_services(folder, stack, machine, scene.url), []),
    )
    return [finding for findings in looked for finding in findings]


def pools_of(stack: StackSight, environ: Mapping[str, str]) -> list[str]:
    """Name the pools whose work queues the scheduler makes."""
    running = stack.environs.get("scheduler", {})
    named = running.get("PENSTOCK_POOLS") or environ.get("PENSTOCK_POOLS") or DEFAULT_POOL
    return [pool.strip() for pool in named.split(",") if pool.strip()]


async def _look_at_servers(
    scene: Scene, stack: StackSight, reach: Reach
) -> tuple[BusSight, StoreSight, list[Finding]]:
    """Look at both servers; those of a stack that does not run are not there."""
    folder = scene.folder
    findings = [_invalid(name) for name in reach.invalid]
    bus_due = bool(reach.bus_url) and (stack.runs or not reach.own_bus)
    stores_due = bool(reach.stores) and (stack.runs or not reach.own_store)
    pools = pools_of(stack, scene.environ)
    account, script = relative(folder.nats_account), relative(folder.postgres_roles)
    (bus, of_bus), (stores, of_stores) = await asyncio.gather(
        _bounded(scene, "NATS", see_bus(reach, pools, account), (BusSight(), []))
        if bus_due else _skipped(BusSight()),
        _bounded(
            scene, "PostgreSQL", see_stores(reach, scene.machine, script, in_thread),
            (StoreSight(), []),
        )
        if stores_due else _skipped(StoreSight()),
    )  # fmt: skip
    if _untouched(stack, bus, stores, stores_due=stores_due):
        findings.append(well("servers", "prepared; `penstock up` makes streams and tables"))
        return (
            bus,
            stores,
            findings + [one for one in of_stores if one.code is not Code.SCHEMA_MISSING],
        )
    findings += of_bus + of_stores + list(judge_streams(bus, pools))
    return bus, stores, findings


async def _skipped(sight: T) -> tuple[T, list[Finding]]:
    return sight, []


def _untouched(stack: StackSight, bus: BusSight, stores: StoreSight, *, stores_due: bool) -> bool:
    """Tell whether no service has ever worked with these servers."""
    no_stream = bool(bus.streams) and not any(bus.streams.values())
    return not stack.runs and no_stream and stores_due and stores.empty


def _invalid(name: str) -> Finding:
    forms = {
        NATS_URL_VARIABLE: (Code.BUS_URL_INVALID, "nats", "nats://host:4222"),
        POSTGRES_URL_VARIABLE: (Code.STORE_URL_INVALID, "postgres", "postgresql://host:5432"),
    }
    code, subject, form = forms[name]
    return found(code, subject, f"{name} is no address", f"environment: {name}", f"write {form}")


async def _judge(
    scene: Scene, stack: StackSight, reach: Reach, bus: BusSight, stores: StoreSight
) -> list[Finding]:
    ready = stack.state is StackState.READY
    looks = await asyncio.gather(
        _bounded(
            scene, "partitions",
            in_thread(lambda: list(judge_partitions(bus, stores, reach, running=ready))), [],
        ),
        _bounded(
            scene, "work",
            in_thread(
                lambda: list(judge_work(bus, stores, stack, scene.folder, scene.version))
            ), [],
        ),
    )  # fmt: skip
    return [finding for findings in looks for finding in findings]


async def _bounded(scene: Scene, name: str, look: Awaitable[T], nothing: T) -> T:
    """Await a look within its bound; what goes wrong with it becomes a finding of its own."""
    try:
        async with asyncio.timeout(scene.within_s):
            return await look
    except TimeoutError:
        detail = f"the look at {name} had no answer within {scene.within_s:g} s"
        finding = found(
            Code.LOOK_TIMED_OUT, name, detail, "this machine",
            f"look at {name} by hand: something hangs (a disk, a name server, a server)",
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - a task boundary: one look must not hide the others
        detail = f"the look at {name} failed: {type(error).__name__}"
        mend = "report it as a defect of Penstock, with the output of `penstock doctor --json`"
        finding = found(Code.LOOK_FAILED, name, detail, "penstock doctor", mend)
    return _with(nothing, finding)


def _with(nothing: T, finding: Finding) -> T:
    """Put a finding where the look would have put its own."""
    findings = nothing[1] if isinstance(nothing, tuple) else nothing
    assert isinstance(findings, list)  # noqa: S101 - the two shapes that looks give
    findings.append(finding)
    return nothing


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Call in a thread of its own; one that hangs keeps neither the look nor the process."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # it is the call's own value

    def work() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=work, name="doctor", daemon=True).start()
    return result
