"""Ways out of a sandbox, each tried by an agent in Python and by one in C; where they are open.

`docs/security/sandboxes.md` is made from these lists, and `tests/security/test_sandbox_denials.py`
tries every entry in every sandbox that the machine has: what is declared open has to be open, and
nothing else may be.
"""

from __future__ import annotations

from penstock_testkit.escapes.compiled import Compiled, compiled_hostile, names_in_c
from penstock_testkit.escapes.files import FILES, SCRATCH
from penstock_testkit.escapes.kernel import KERNEL, PRIVILEGES
from penstock_testkit.escapes.limited import LIMITED, Limited
from penstock_testkit.escapes.network import NETWORK
from penstock_testkit.escapes.processes import PROCESSES
from penstock_testkit.escapes.ways import PRELUDE, Escape, program

ESCAPES = (*FILES, *PROCESSES, *NETWORK, *KERNEL, *PRIVILEGES, *SCRATCH)
"""In the order of the table."""

__all__ = [
    "ESCAPES",
    "LIMITED",
    "PRELUDE",
    "Compiled",
    "Escape",
    "Limited",
    "compiled_hostile",
    "names_in_c",
    "program",
]
