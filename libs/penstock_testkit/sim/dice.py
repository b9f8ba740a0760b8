"""Chance, all of it from one seed."""

import math
import random


class Dice(random.Random):
    """Draws of one purpose: what one purpose draws does not move what another one does."""

    def __init__(self, seed: int, purpose: str) -> None:
        """Begin the draws of `purpose` under `seed`."""
        super().__init__(f"{seed}/{purpose}")

    def chance(self, share: float) -> bool:
        """Tell whether something of that probability happens."""
        return share > 0 and self.random() < share

    def seconds(self, least: float, most: float) -> float:
        """Give a duration: short ones as often as long ones, each by its order of magnitude."""
        return math.exp(self.uniform(math.log(least), math.log(most)))
