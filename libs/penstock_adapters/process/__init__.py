"""Plain subprocesses as a sandbox without isolation, and the supervision other adapters share."""

from penstock_adapters.process.adapter import ProcessSandbox, UnsandboxedRefused

__all__ = ["ProcessSandbox", "UnsandboxedRefused"]
