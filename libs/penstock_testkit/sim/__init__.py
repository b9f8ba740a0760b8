"""Deterministic simulation: the four services in one virtual world, driven by one seed."""

from penstock_testkit.sim.running import Report, run_seed

__all__ = ["Report", "run_seed"]
