"""Secrets are taken out of everything an agent emits."""

from penstock_core.redaction import SHOWN, Redactor

__all__ = ["NOTHING", "SHOWN", "Redactor"]

NOTHING = Redactor(())
