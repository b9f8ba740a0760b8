"""Ways to other processes: the executor's, the sandbox' own first one, other tasks'."""

from __future__ import annotations

from penstock_testkit.escapes.ways import OWN_FIRST, Escape

PROCESSES = (
    Escape(
        "host-environment",
        "find a variable of the executor",
        "any('HOST_SECRET' in name for name in os.environ)",
    ),
    Escape(
        "other-environments",
        "find a variable of the executor in any process",
        "any(holds(f'/proc/{name}/environ', b'HOST_SECRET') for name in os.listdir('/proc'))",
    ),
    Escape(
        "memory",
        "read or write the first process' memory",
        "reads('/proc/1/mem') or opens('/proc/1/mem')",
        maybe_in={"bubblewrap": OWN_FIRST},
    ),
    # The kernel may say yes and do nothing; if it did, the agent would die with it and not answer.
    Escape("kill", "kill the first process", "works(lambda: os.kill(1, 9)) and False"),
    Escape("signal-host", "signal the executor", "works(lambda: os.kill(int(sys.argv[5]), 0))"),
    Escape(
        "neighbours",
        "see processes of another task",
        "len([n for n in os.listdir('/proc') if n.isdigit()]) > 3",
    ),
    Escape("ptrace", "trace a process", "allowed(101, 16, 1, 0, 0) or allowed(101, 0, 0, 0, 0)"),
    Escape("other-memory", "copy memory of another process", "allowed(310, 1, 0, 0, 0, 0, 0)"),
    Escape("other-descriptors", "take a descriptor of another process", "allowed(438, 0, 0, 0)"),
)
