"""Scheduler, approval, gateway and a scripted executor around one bus in memory."""

from penstock_testkit.world.gates import Gate
from penstock_testkit.world.script import Act, Script
from penstock_testkit.world.world import Instance, World

__all__ = ["Act", "Gate", "Instance", "Script", "World"]
