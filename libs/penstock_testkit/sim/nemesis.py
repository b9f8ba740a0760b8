"""What befalls a simulated world, drawn one after the other, until the storm is over."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from pydantic_core import from_json, to_json

from penstock_adapters.memory.streams import MemoryStream
from penstock_contracts.subjects import Stream
from penstock_contracts.values import MICROSECONDS
from penstock_testkit.checking.history import Violation
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.processes import Process
from penstock_testkit.sim.restoring import Backup, Lost, back_up, put_back_at_work, restore
from penstock_testkit.sim.world import SimWorld

log = logging.getLogger(__name__)
CALLS_AHEAD_MAX = 60  # of a process until it dies in the midst of one
OUTAGE_S = (0.1, 90.0)
PAUSE_S = (0.5, 60.0)
SKEW_S = 45.0
COPIES_MAX = 3
PARTITIONS_MAX = 4
GARBAGE = (b"", b"{", b"null", b'{"specversion": "1.0", "type": "run.start_run.v1"}')


class Nemesis:
    """Does harm, and notes what it did.

    Attributes:
        done: what was done and when, as lines.
        old_times: streams whose messages may come with times of the past.
        skew_us: the most by which a clock was off.
        lost: the time that the stores have forgotten, if they were put back.
        unnoticed: what services did on stores that were put back, without a word to them.
    """

    def __init__(self, world: SimWorld, dice: Dice) -> None:
        """Do harm to `world`."""
        self.done: list[str] = []
        self.old_times: set[str] = set()
        self.skew_us = 0
        self._world = world
        self._dice = dice
        self.lost: Lost | None = None
        self.unnoticed: list[Violation] = []
        self._backup: Backup | None = None
        self._copies: list[Mapping[str, MemoryStream]] = []
        self._kinds: tuple[tuple[int, Callable[[], Awaitable[str]]], ...] = (
            (4, self._kill),
            (4, self._kill_in_a_call),
            (3, self._pause),
            (3, self._cut),
            (2, self._bus_outage),
            (2, self._break_connections),
            (2, self._store_outage),
            (3, self._cut_tail),
            (2, self._recreate),
            (1, self._delete_everything),
            (2, self._purge),
            (3, self._keep_copy),
            (3, self._put_back),
            (2, self._skew),
            (2, self._fill),
            (1, self._lose_buckets),
            (3, self._say_again),
            (1, self._garbage),
            (2, self._forge),
            (1, self._grow),
        )

    async def rage(self, storm_s: float, faults: int) -> None:
        """Do so many things within that time."""
        moments = sorted(self._dice.uniform(0, storm_s) for _ in range(faults))
        weights = [weight for weight, _ in self._kinds]
        kinds = [kind for _, kind in self._kinds]
        now_s = 0.0
        for moment_s in moments:
            await self._world.clock.sleep(moment_s - now_s)
            now_s = moment_s
            if self._world.plan.restores:
                await self._perhaps_restore(moment_s)
            kind = self._dice.choices(kinds, weights)[0]
            done = await kind()
            self.done.append(f"{moment_s:.3f} s: {done}")
            log.info("fault: %s", done)
        await self._world.clock.sleep(storm_s - now_s)

    async def _perhaps_restore(self, moment_s: float) -> None:
        """Back the stores up at one moment, and put them back at a later one, once."""
        if self._backup is None:
            self._backup = back_up(self._world)
            self.done.append(f"{moment_s:.3f} s: the stores are backed up")
        elif self.lost is None and self._dice.chance(0.5):
            forgotten = {**self._world.ledger.records(), **self._world.approvals.records()}
            if self._dice.chance(0.6):
                found = await put_back_at_work(self._world, self._backup)
                if found is not None:
                    self.done.append(f"{moment_s:.3f} s: the stores are put back, untold")
                    self.unnoticed.extend(found)
            self.lost = await restore(self._world, self._backup, forgotten)
            self._copies = []  # of EVENTS as it was before: owners would stop again, rightly
            self.done.append(f"{moment_s:.3f} s: the stores are restored, and recovered")

    def _later(self, bounds: tuple[float, float], mend: Callable[[], None]) -> float:
        """Undo something by itself after a while."""
        after_s = self._dice.seconds(*bounds)
        self._world.loop.call_later(after_s, mend)
        return after_s

    def _process(self) -> Process:
        return self._dice.choice(self._world.processes)

    def _stream(self, *which: Stream) -> Stream:
        streams = which or (
            Stream.TRIGGERS, Stream.CATALOG, Stream.RUNS, Stream.RUNS, Stream.TASKS,
            Stream.APPROVALS, Stream.EVENTS, Stream.EVENTS, Stream.DEAD, Stream.LOGS,
        )  # fmt: skip
        return self._dice.choice(streams)

    # --- processes ----------------------------------------------------------------------------

    async def _kill(self) -> str:
        victim = self._process()
        victim.kill()
        return f"{victim.name} is killed"

    async def _kill_in_a_call(self) -> str:
        victim = self._process()
        if victim.life is None:
            return f"{victim.name} is down already"
        ahead = self._dice.randint(1, CALLS_AHEAD_MAX)
        victim.life.dies_at = victim.life.calls + ahead
        return f"{victim.name} dies in its call number {ahead} from now"

    async def _pause(self) -> str:
        victim = self._process()
        victim.pause()
        seconds = self._later(PAUSE_S, victim.resume)
        return f"{victim.name} is paused for {seconds:.3f} s"

    async def _skew(self) -> str:
        victim = self._process()
        victim.skew_us = int(self._dice.uniform(-SKEW_S, SKEW_S) * MICROSECONDS)
        self.skew_us = max(self.skew_us, abs(victim.skew_us))
        return f"the clock of {victim.name} is off by {victim.skew_us} us"

    async def _cut(self) -> str:
        victim = self._process()
        server = self._dice.choice(("bus", "store"))
        weather = self._world.weather_of(victim.name, server)
        weather.cut = True

        def mend() -> None:
            weather.cut = False

        seconds = self._later(OUTAGE_S, mend)
        return f"{victim.name} and the {server} are cut off for {seconds:.3f} s"

    async def _grow(self) -> str:
        world = self._world
        # What was matched to a partition that the store has forgotten would be matched anew.
        if world.partitions >= PARTITIONS_MAX or world.plan.restores:
            return f"there are {world.partitions} partitions of runs already"
        world.partitions += 1
        victim = self._dice.choice([one for one in world.processes if "scheduler" in one.name])
        victim.kill()
        return f"{victim.name} begins again with {world.partitions} partitions of runs"

    # --- servers ------------------------------------------------------------------------------

    async def _bus_outage(self) -> str:
        bus = self._world.bus
        bus.stop()
        seconds = self._later(OUTAGE_S, bus.start)
        return f"the bus is down for {seconds:.3f} s"

    async def _break_connections(self) -> str:
        self._world.bus.drop_connections()
        return "all connections to the bus break"

    async def _store_outage(self) -> str:
        store = self._dice.choice(self._world.stores)
        store.up = False

        def mend() -> None:
            store.up = True

        seconds = self._later(OUTAGE_S, mend)
        return f"a store is down for {seconds:.3f} s"

    # --- streams ------------------------------------------------------------------------------

    async def _cut_tail(self) -> str:
        name = self._stream()
        bus = self._world.bus
        if not bus.exists(name):
            return f"{name} is not there to lose its tail"
        last = bus.streams[name].last_sequence
        lost = self._dice.choice((1, self._dice.randint(1, 5), self._dice.randint(1, last + 1)))
        bus.cut(name, max(last - lost, 0))
        bus.drop_connections()
        self.old_times.add(name)
        return f"{name} loses its last {lost} messages"

    async def _recreate(self) -> str:
        name = self._stream()
        self._world.bus.recreate(name)
        if name is Stream.TASKS:
            self._world.bus.ensure_pool("default")
        return f"{name} is deleted and made again"

    async def _delete_everything(self) -> str:
        for name in Stream:
            self._world.bus.delete_stream(name)
        self._world.bus.drop_connections()
        self._world.lose_buckets()
        return "everything in JetStream is deleted"

    async def _lose_buckets(self) -> str:
        heartbeats, artifacts = self._dice.choice(((True, False), (False, True), (True, True)))
        self._world.lose_buckets(heartbeats=heartbeats, artifacts=artifacts)
        lost = ["heartbeats"] * heartbeats + ["artifacts"] * artifacts
        return f"JetStream loses its {' and '.join(lost)}"

    async def _purge(self) -> str:
        name = self._stream()
        bus = self._world.bus
        if bus.exists(name) and bus.up:
            stream = bus.streams[name]
            stream.remove(list(stream.messages))
            bus.lossy.add(name.value)
        return f"{name} is purged"

    async def _keep_copy(self) -> str:
        self._copies = [*self._copies, self._world.bus.keep_copy()][-COPIES_MAX:]
        return "a copy of JetStream is kept"

    async def _put_back(self) -> str:
        if not self._copies:
            return await self._keep_copy()
        copy = self._dice.choice(self._copies)
        if self._dice.chance(0.5):
            name = self._stream()
            copy = {name: copy[name]} if name in copy else {}
        self._world.bus.put_back(copy)
        self._world.bus.drop_connections()
        self.old_times.update(copy)
        return f"an older copy is put back of {', '.join(copy) or 'nothing'}"

    async def _fill(self) -> str:
        name = self._stream()
        bus = self._world.bus
        if not bus.exists(name):
            return f"{name} is not there to be full"
        bus.limit(name, len(bus.streams[name].messages) + self._dice.randint(0, 3))

        def mend() -> None:
            if bus.exists(name):
                bus.limit(name, None)

        seconds = self._later(OUTAGE_S, mend)
        return f"{name} is full for {seconds:.3f} s"

    async def _say_again(self) -> str:
        said = self._world.bus.said
        which = self._dice.sample(said, min(len(said), self._dice.randint(1, 12)))
        for subject, payload, headers in which:
            self._world.bus.bring(self._dice.seconds(0.01, 30), subject, payload, headers)
        return f"{len(which)} old messages are said again"

    async def _forge(self) -> str:
        """Say something else of a task than its executor has said, with the code of another."""
        results = [one for one in self._world.bus.said if one[0].endswith(".report_result")]
        if not results:
            return "there is no result to be forged"
        subject, payload, _ = self._dice.choice(results)
        envelope = from_json(payload)
        data = envelope["data"]
        other = from_json(self._dice.choice(results)[1])["data"]
        data["node"], data["task_id"] = other["node"], other["task_id"]
        data["attempt"] = self._dice.choice((1, data["attempt"] + 1))
        data |= {"outcome": "succeeded", "output": {"forged": True}, "nonce": "forged"}
        data.pop("error", None)
        self._world.bus.bring(0.01, subject, to_json(envelope))
        return f"a result of {data['node']} is forged"

    async def _garbage(self) -> str:
        said = self._world.bus.said
        if not said:
            return "there is nothing to be garbled"
        subject, payload, _ = self._dice.choice(said)
        garbled = self._dice.choice((*GARBAGE, payload[: len(payload) // 2]))
        self._world.bus.bring(0.01, subject, garbled)
        return f"garbage is sent to {subject}"
