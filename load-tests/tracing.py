"""What tracing costs: the same load on stacks without, with 1 % and with 100 % of all traces.

All stacks run at once and are loaded in turn, so that whatever else the machine does meets all
of them alike. The one at 1 % and the one at 100 % export to an OTLP receiver in a process of its
own on the same machine; its CPU seconds are told apart.
"""

import statistics
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from chains import Chains, Loaded, cpu_seconds

from penstock_testkit.receiver import Receiver
from penstock_testkit.stack import RunningStack

RATIOS: Final[Mapping[str, str | None]] = {"off": None, "1 %": "0.01", "100 %": "1"}
SHOWN: Final = ("scheduler", "executor", "approval", "webhook-gateway", "nats", "postgres")


async def tracing(home: Path, runs: int, in_flight: int, rounds: int) -> None:
    """Load each stack `rounds` times with `runs` runs, in turn; print medians and ratios."""
    async with AsyncExitStack() as stack:
        receivers: dict[str, Receiver] = {}
        chains: dict[str, Chains] = {}
        for name, ratio in RATIOS.items():
            environ = {"PENSTOCK_SANDBOX": "inline"}
            if ratio is not None:
                receivers[name] = stack.enter_context(Receiver.started())
                environ |= {
                    "PENSTOCK_OTLP_ENDPOINT": receivers[name].url,
                    "PENSTOCK_TRACE_RATIO": ratio,
                }
            folder = home / f"traced-{len(chains)}"
            running = await stack.enter_async_context(RunningStack.started(folder, **environ))
            chains[name] = await stack.enter_async_context(Chains.opened(running))
        measured: dict[str, list[Loaded]] = {name: [] for name in chains}
        cost = {name: -cpu_seconds(one.pid, whole=False) for name, one in receivers.items()}
        for number in range(rounds):
            names = list(chains)
            for name in names if number % 2 == 0 else reversed(names):
                loaded = await chains[name].load(runs, in_flight)
                measured[name].append(loaded)
                print(f"  {name:>6}: {loaded.rate:.0f} steps/s, {loaded.cost:.3f} CPU s")
        for name, one in receivers.items():
            cost[name] += cpu_seconds(one.pid, whole=False)
        _tell(measured)
        steps = sum(one.steps for one in measured["100 %"])
        for name, one in receivers.items():
            print(f"receiver at {name}: {1000 * cost[name] / steps:.3f} CPU s, {one.counts()}")


def _tell(measured: Mapping[str, list[Loaded]]) -> None:
    print(f"medians of {len(measured['off'])} rounds; CPU seconds per 1,000 steps:")
    rates = {
        name: statistics.median(one.rate for one in rounds) for name, rounds in measured.items()
    }
    costs = {
        name: statistics.median(one.cost for one in rounds) for name, rounds in measured.items()
    }
    for name in measured:
        parts = ", ".join(
            f"{part} {statistics.median(one.spent[part] for one in measured[name]):.3f}"
            for part in SHOWN
        )
        print(
            f"  {name:>6}: {rates[name]:.0f} steps/s ({rates[name] / rates['off'] - 1:+.1%}), "
            f"CPU {costs[name]:.3f} ({costs[name] / costs['off'] - 1:+.1%}): {parts}"
        )
        pairs = [
            one.rate / off.rate for one, off in zip(measured[name], measured["off"], strict=True)
        ]
        print(f"          median of the rounds' ratios {statistics.median(pairs):.3f}")
