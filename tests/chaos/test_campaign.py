"""A whole chaos: short and gentle with every change, and everything at once where it is asked for.

Nothing here is said of how fast anything is: `python -m penstock_testkit.chaos` measures that.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_testkit.chaos.campaign import Orders, Outcome, chaos, table
from penstock_testkit.chaos.schedule import EVERY, GENTLE, Kind

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.slow]

SEED = 12
CALM_S = (0.3, 1.0)


async def outcome_of(home: Path, orders: Orders) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    outcome = await chaos(home, orders, said.append, lambda _: None)
    return outcome, said


@pytest.mark.timeout(600)
async def test_a_gentle_chaos_loses_and_repeats_nothing(tmp_path: Path) -> None:
    orders = Orders(
        SEED, lasts_s=18.0, kinds=GENTLE, lanes=1, calm_s=CALM_S, http=3, bus=1, least=0.05
    )
    outcome, said = await outcome_of(tmp_path / "state", orders)
    told = table(outcome)
    assert list(outcome.broken) == [], told
    assert outcome.good, told
    assert outcome.accepted > 10, told
    assert len(outcome.aftermaths) >= 1, said
    assert any(one.done.fault.line in said for one in outcome.aftermaths)
    assert "lost 0" in told
    assert told.endswith("held")


@pytest.mark.long
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", [21, 22])
async def test_a_wild_chaos_loses_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    # The disk is a mount of the whole process, which is not for one that runs other tests too.
    kinds = EVERY - {Kind.FULL_DISK}
    orders = Orders(seed, lasts_s=180.0, kinds=kinds, least=0.2)
    outcome, _ = await outcome_of(tmp_path / "state", orders)
    assert outcome.good, table(outcome)
