"""What every sandbox adapter must do. Subclass `SandboxConformance` and give it a `sandbox`.

The agents are one-line Python programs that find input and output through the environment, as an
agent that is to run under every adapter does.
"""

from __future__ import annotations

from penstock_testkit.conformance.sandbox.leaving import Leaving
from penstock_testkit.conformance.sandbox.limited import Limited
from penstock_testkit.conformance.sandbox.running import Running
from penstock_testkit.conformance.sandbox.shown import Shown
from penstock_testkit.conformance.sandbox.tasks import BuildSpec, greeting
from penstock_testkit.sandbox_probes import Log


class SandboxConformance(Running, Limited, Shown, Leaving):
    """The contract of the sandbox port."""


__all__ = ["BuildSpec", "Log", "SandboxConformance", "greeting"]
