"""What a soak says of a series: whether it certainly grows."""

from __future__ import annotations

import importlib.util
import random
import sys
from types import ModuleType

import pytest

from tests.architecture.tree import ROOT

MIB = 1024.0 * 1024.0
SHARE, FLOOR = 0.05, 3 * MIB


@pytest.fixture(scope="module")
def slopes() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "soak_slopes", ROOT / "load-tests" / "soak_slopes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def series(gain_mib: float, noise_mib: float, count: int = 600) -> list[tuple[float, float]]:
    """A process of 100 MiB that gains so much in all, looked at every 5 s."""
    dice = random.Random(5)  # noqa: S311 - the same series every time
    return [
        (5.0 * at, MIB * (100 + gain_mib * at / count + dice.gauss(0, noise_mib)))
        for at in range(count)
    ]


@pytest.mark.parametrize(
    ("gain_mib", "noise_mib", "grows"),
    [
        (0.0, 0.0, False),
        (0.0, 8.0, False),
        (2.0, 0.1, False),  # certain, and not worth speaking of
        (20.0, 0.0, True),
        (20.0, 4.0, True),
        (-20.0, 1.0, False),
    ],
)
def test_only_what_certainly_and_really_grows_is_said_to_grow(
    slopes: ModuleType, gain_mib: float, noise_mib: float, grows: bool
) -> None:
    found = slopes.slope_of(series(gain_mib, noise_mib))
    assert found.least <= found.a_second <= found.most
    assert found.grows(SHARE, FLOOR) is grows
    assert found.lasts_s == 5.0 * 599


def test_one_leap_of_a_single_look_is_no_growth(slopes: ModuleType) -> None:
    seen = series(0.0, 0.2)
    seen[-1] = (seen[-1][0], 500 * MIB)
    assert not slopes.slope_of(seen).grows(SHARE, FLOOR)


def test_three_looks_are_enough(slopes: ModuleType) -> None:
    found = slopes.slope_of([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)])
    assert found.a_second == 1.0
