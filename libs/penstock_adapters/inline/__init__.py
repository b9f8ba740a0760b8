"""Built-in agents that run inside the executor's process: for benchmarks and simulations."""

from penstock_adapters.inline.sandbox import InlineSandbox, builtin_manifests

__all__ = ["InlineSandbox", "builtin_manifests"]
