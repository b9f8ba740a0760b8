"""Opens the real adapters for the executor."""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bundles import FolderBundles, default_roots, sdk_folder
from penstock_adapters.dagger import (
    DaggerSandbox,
    cli_program,
    default_image,
    engine_host,
)
from penstock_adapters.egress import EgressDecision
from penstock_adapters.git import GitRepositories
from penstock_adapters.inline import InlineSandbox, builtin_manifests
from penstock_adapters.nats.connection import NatsConnection, connect
from penstock_adapters.nats.connection import NatsSettings as BusSettings
from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.work import ACK_WAIT_S, NatsControl, NatsWorkQueue
from penstock_adapters.process import ProcessSandbox
from penstock_adapters.process.scratch import Scratch, unique_name
from penstock_adapters.sampling import connection_sample
from penstock_adapters.secrets import (
    EnvFileSecrets,
    EnvironmentSecrets,
    FirstOf,
    FolderSecrets,
    Told,
)
from penstock_adapters.signing import Ed25519Verifier
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.logs import learn_secret
from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.process import serve
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_adapters.system.vitals import disk_sample
from penstock_adapters.telemetry import open_telemetry
from penstock_adapters.wrappers.breaker import BreakingSandbox
from penstock_adapters.wrappers.patient_publisher import PatientPublisher
from penstock_adapters.wrappers.tracing.claims import ClaimedControl, ClaimingPublisher, ClaimWatch
from penstock_adapters.wrappers.tracing.publisher import TracedPublisher
from penstock_adapters.wrappers.tracing.sandbox import TracedSandbox
from penstock_adapters.wrappers.tracing.work_queue import TracedWorkQueue
from penstock_executor.app import Executor, Options, Ports
from penstock_executor.breakers import BreakerChanges
from penstock_executor.settings import DaggerNetwork, ExecutorSettings, SandboxKind
from penstock_executor.stock import installed_version
from penstock_executor.workspaces import Workspaces
from penstock_runtime.owning import fail_when
from penstock_runtime.ports.health import Check
from penstock_runtime.ports.sandbox import Sandbox
from penstock_runtime.ports.secrets import Secrets, SecretUnusable
from penstock_runtime.settings import SettingsFault
from penstock_runtime.telemetry.metrics import NATS_ERRORS
from penstock_runtime.telemetry.spans import NoSpans, Spans

OpenSandbox = Callable[[ExecutorSettings, Path, SystemClock], Sandbox]
_WITHOUT_MEMORY = (SandboxKind.BUBBLEWRAP, SandboxKind.PROCESS, SandboxKind.INLINE)
BEATS_PER_WAIT = 3  # signs of life within the server's patience

_log = logging.getLogger(__name__)


def main() -> int:
    """Run the executor until it is told to stop; gives the process' exit code."""
    return serve("executor", ExecutorSettings, run)


async def run(
    settings: ExecutorSettings, stop: asyncio.Event, open_sandbox: OpenSandbox | None = None
) -> None:
    """Open everything, work until `stop`, close everything.

    Args:
        settings: of this executor.
        stop: ends it.
        open_sandbox: in place of the adapter that the settings name.

    Raises:
        TransientFault: the bus does not answer at the start.
    """
    clock = SystemClock()

    def learn(secret: str) -> None:
        learn_secret(secret)
        telemetry.redaction.learn(secret)

    def bus_error(error: Exception) -> None:
        metrics.add(NATS_ERRORS, type(error).__name__)

    async with AsyncExitStack() as stack:
        telemetry = stack.enter_context(open_telemetry("executor", settings))
        metrics = PrometheusMetrics(telemetry.spans)
        connection = await connect(_bus(settings), bus_error)
        stack.push_async_callback(connection.close)
        scratch = _scratch(settings)
        breaker = BreakerChanges(settings.sandbox.value)
        sandbox = (open_sandbox or _sandbox)(settings, scratch, clock)
        if settings.sandbox is not SandboxKind.INLINE:
            sandbox = BreakingSandbox(
                sandbox, breaker.adapter, clock, settings.breaker_rules(), metrics, breaker.note
            )
        stack.push_async_callback(sandbox.close)
        folders = Scratch(scratch)
        _ = stack.callback(folders.close)
        ports = Ports(
            queue=NatsWorkQueue(connection, settings.pool),
            publisher=PatientPublisher(NatsPublisher(connection), clock.sleep),
            control=NatsControl(connection),
            sandbox=sandbox,
            bundles=_bundles(settings),
            secrets=Told(_secrets(settings), learn),
            verifier=Ed25519Verifier(settings.grant_keys) if settings.grant_keys else None,
            repositories=GitRepositories(settings.workspace_roots),
            temporaries=_Temporaries(folders),
            heartbeats=NatsHeartbeats(connection),
            artifacts=NatsShelf(connection),
            clock=clock,
            metrics=metrics,
            breaker=breaker,
        )
        empty = stack.enter_context(_empty_folder(scratch))
        if not isinstance(telemetry.spans, NoSpans):
            ports = _traced(ports, telemetry.spans)
        executor = Executor(ports, _options(settings, scratch, empty))

        async def ready() -> Sequence[Check]:
            return [_bus_check(connection, settings), *await executor.checks()]

        samples = (
            connection_sample(metrics, lambda: connection.is_connected),
            disk_sample(metrics, "scratch", scratch),
            telemetry.sample(metrics),
        )
        ops = OpsServer(settings.ops_host, settings.ops_port, ready, metrics, samples)
        _ = await stack.enter_async_context(ops)
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(fail_when(connection.wait_closed))
            await executor.run(stop)
            _ = watch.cancel()


def _traced(ports: Ports, spans: Spans) -> Ports:
    clock, watch = ports.clock, ClaimWatch(ports.clock, spans)
    return replace(
        ports,
        queue=TracedWorkQueue(ports.queue, clock, spans),
        publisher=ClaimingPublisher(TracedPublisher(ports.publisher, clock, spans), watch),
        control=ClaimedControl(ports.control, watch),
        sandbox=TracedSandbox(ports.sandbox, clock, spans),
    )


class _Temporaries:
    """The sandbox adapters' own kind of folders, removed off the event loop."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def task_folder(self) -> Path:
        return self._scratch.task_folder()

    async def remove(self, folder: Path) -> None:
        await asyncio.to_thread(self._scratch.remove, folder)


def _bus(settings: ExecutorSettings) -> BusSettings:
    password = settings.nats_password
    return BusSettings(
        url=settings.nats_url,
        user=settings.nats_user,
        password=None if password is None else password.get_secret_value(),
        inbox_prefix=settings.nats_inbox_prefix,
        name=settings.name,
    )


def _bus_check(connection: NatsConnection, settings: ExecutorSettings) -> Check:
    if connection.is_connected:
        return Check("nats", ok=True, detail="connected")
    return Check("nats", ok=False, detail=f"not connected to {_bus(settings).address()}")


def _scratch(settings: ExecutorSettings) -> Path:
    if settings.scratch is not None:
        return settings.scratch
    return Path(tempfile.gettempdir()) / f"penstock-executor-{os.getuid()}"


@contextmanager
def _empty_folder(scratch: Path) -> Generator[Path]:
    """What is mounted over folders that agents must not see; readable under any uid.

    Who was killed leaves it among its temporaries, and the next executor clears those away.
    """
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = scratch / unique_name()
    folder.mkdir()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.rmdir()


def _sandbox(settings: ExecutorSettings, scratch: Path, clock: SystemClock) -> Sandbox:
    match settings.sandbox:
        case SandboxKind.BUBBLEWRAP:
            return BubblewrapSandbox(scratch, readable=_sdk(), on_egress=_log_egress)
        case SandboxKind.DAGGER:
            return _dagger(settings, scratch)
        case SandboxKind.PROCESS:
            return ProcessSandbox(scratch, allow_unsandboxed=settings.allow_unsandboxed)
        case SandboxKind.INLINE:
            return InlineSandbox(clock)


def _dagger(settings: ExecutorSettings, scratch: Path) -> DaggerSandbox:
    return DaggerSandbox(
        scratch,
        cli=cli_program(settings.dagger_cli, os.environ),
        engine=engine_host(settings.dagger_engine, os.environ),
        image=default_image(settings.dagger_image),
        readable=_sdk(),
        network=settings.dagger_network is DaggerNetwork.ENGINE,
        on_egress=_log_egress,
    )


def _log_egress(task_id: str, decision: EgressDecision) -> None:
    extra = {
        "task": task_id,
        "host": decision.host,
        "port": decision.port,
        "allowed": decision.allowed,
        "reason": decision.detail,
    }
    _log.log(logging.INFO if decision.allowed else logging.WARNING, "egress", extra=extra)


def _sdk() -> tuple[Path, ...]:
    """The agents' SDK, unless it is installed where agents can see it anyway."""
    folder = sdk_folder()
    if folder is None or folder.is_relative_to(Path(sys.prefix).resolve()):
        return ()
    return (folder,)


def _bundles(settings: ExecutorSettings) -> FolderBundles:
    builtin = builtin_manifests() if settings.sandbox is SandboxKind.INLINE else ()
    return FolderBundles(settings.agent_roots or default_roots(), builtin)


def _secrets(settings: ExecutorSettings) -> Secrets:
    sources: list[Secrets] = [EnvironmentSecrets(os.environ)]
    faults: list[str] = []
    if settings.secrets_dir is not None:
        if not settings.secrets_dir.is_dir():
            faults.append(f"PENSTOCK_SECRETS_DIR: {settings.secrets_dir} is not a folder")
        sources.append(FolderSecrets(settings.secrets_dir))
    if settings.secrets_env_file is not None:
        file = EnvFileSecrets(settings.secrets_env_file)
        try:
            _ = file.read()
        except SecretUnusable as fault:
            faults.append(f"PENSTOCK_SECRETS_ENV_FILE: {fault}")
        sources.append(file)
    if faults:
        raise SettingsFault(tuple(faults))
    return FirstOf(sources)


def _options(settings: ExecutorSettings, scratch: Path, empty: Path) -> Options:
    mounts = settings.sandbox in (SandboxKind.BUBBLEWRAP, SandboxKind.DAGGER)
    hidden = [path for path in (scratch, settings.home, settings.secrets_dir) if path is not None]
    return Options(
        name=settings.name,
        pool=settings.pool,
        capacity=settings.tasks_at_once(),
        grace_s=settings.grace_s,
        workspaces=Workspaces(
            settings.workspace_roots,
            hidden=hidden,
            empty=empty if mounts else None,
            rewrite=mounts,
        ),
        egress=settings.egress_allow,
        images=settings.images(),
        leaves=settings.sandbox is not SandboxKind.INLINE,
        secret_grants=frozenset(settings.agent_grants),
        memoises=settings.sandbox not in _WITHOUT_MEMORY,
        beat_s=ACK_WAIT_S / BEATS_PER_WAIT,
        version=installed_version(),
    )
