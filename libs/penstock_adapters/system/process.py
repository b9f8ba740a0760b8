"""Running a service process: settings, log lines, event loop, signals, exit code."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

import uvloop

from penstock_adapters.system.logs import configure_logging
from penstock_adapters.system.naming import claimed_name
from penstock_core.redaction import Redactor
from penstock_runtime.faults import PenstockFault
from penstock_runtime.settings import (
    FILE_SUFFIX,
    ServiceSettings,
    SettingsFault,
    load_settings,
    secrets_of,
    variable,
)

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 78  # EX_CONFIG of sysexits.h: restarting does not help
# Seconds that the event loop keeps the interpreter while a database thread waits for it. At the
# default of 5 ms a commit under load took 8.9 ms, at 0.5 ms 7.5 ms, and steps/s rose by 6 %
# (100 five-step runs in flight, two runs of load-tests/bench.py's workload in a row).
SWITCH_INTERVAL_S = 0.0005
# Messages and events are plain trees that reference counting frees; the collector looks for cycles
# far less often than by default (700, 10, 10), and never again at what the imports have made.
GC_THRESHOLDS = (20_000, 20, 20)
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_NAMES = (variable("name"), variable("name") + FILE_SUFFIX)

ServiceT = TypeVar("ServiceT", bound=ServiceSettings)
ResultT = TypeVar("ResultT")
Serve = Callable[[ServiceT, asyncio.Event], Awaitable[None]]

_log = logging.getLogger(__name__)


def serve(
    service: str,
    model: type[ServiceT],
    main: Serve[ServiceT],
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run a service to its end and give the process' exit code.

    `main(settings, stop)` opens everything, runs until `stop` is set (SIGTERM or SIGINT), ends
    gracefully and returns. A second signal cancels it.

    Returns:
        0 after a graceful stop, 1 after a failure, 78 when the settings do not stand (every
        fault is written to standard error, one a line).
    """
    variables = dict(os.environ if environ is None else environ)
    with ExitStack() as held:
        if not any(variables.get(name) for name in _NAMES):
            host = socket.gethostname()
            variables[variable("name")] = held.enter_context(claimed_name(service, host))
        return _serve(service, model, main, variables)


def _serve(
    service: str,
    model: type[ServiceT],
    main: Serve[ServiceT],
    variables: Mapping[str, str],
) -> int:
    try:
        settings = load_settings(model, variables)
    except SettingsFault as fault:
        for line in fault.faults:
            sys.stderr.write(f"penstock {service}: {line}\n")
        return EXIT_SETTINGS
    secrets = Redactor(secrets_of(settings, variables))
    configure_logging(service, settings.name, settings.log_level, redact=secrets)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        run_loop(_until_signalled(main, settings))
    except asyncio.CancelledError:
        _log.warning("stopped at once by a second signal")
        return EXIT_FAILED
    except PenstockFault as fault:
        _log.error("service failed", extra={"reason": str(fault)})
        return EXIT_FAILED
    except Exception:  # noqa: BLE001 - the outermost boundary: logged before the process ends
        _log.exception("service failed")
        return EXIT_FAILED
    _log.info("stopped")
    return EXIT_DONE


def run_loop(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def _until_signalled(main: Serve[ServiceT], settings: ServiceT) -> None:
    stop = asyncio.Event()
    whole = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            if whole is not None:
                _ = whole.cancel()
            return
        _log.info("stopping", extra={"signal": name, "grace_s": settings.grace_s})
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number.name)
    try:
        await main(settings, stop)
    finally:
        for number in SIGNALS:
            _ = loop.remove_signal_handler(number)
