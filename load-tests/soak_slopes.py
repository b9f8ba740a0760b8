"""Does a series grow? The slope of Theil and Sen with its confidence, and what it comes to."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Z = 1.96  # 95 % of a normal distribution
BLOCKS = 30  # neighbours resemble each other: their means are what is compared


@dataclass(frozen=True, slots=True)
class Slope:
    """The trend of a series.

    Attributes:
        a_second: median of the slopes between all pairs.
        least: lower end of its 95 % confidence interval.
        most: upper end.
        median: of the values.
        lasts_s: seconds from the first value to the last.
    """

    a_second: float
    least: float
    most: float
    median: float
    lasts_s: float

    def grows(self, share: float, floor: float) -> bool:
        """Tell whether it certainly grows, by more than is worth speaking of.

        Args:
            share: part of the median that it may gain over the whole series.
            floor: what it may gain in any case.
        """
        allowed = max(floor, share * self.median)
        return self.least > 0 and self.a_second * self.lasts_s > allowed


def slope_of(series: Sequence[tuple[float, float]]) -> Slope:
    """Judge (second, value) pairs in the order of time; at least three."""
    points = _blocks(series)
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(points, 2)
        if later[0] > earlier[0]
    )
    count = len(points)
    spread = Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(
        a_second=statistics.median(slopes),
        least=slopes[low],
        most=slopes[high],
        median=statistics.median(value for _, value in points),
        lasts_s=series[-1][0] - series[0][0],
    )


def _blocks(series: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = max(1, math.ceil(len(series) / BLOCKS))
    pieces = [series[at : at + size] for at in range(0, len(series), size)]
    return [
        (statistics.fmean(at for at, _ in piece), statistics.fmean(value for _, value in piece))
        for piece in pieces
    ]
