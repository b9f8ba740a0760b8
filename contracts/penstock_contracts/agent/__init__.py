"""Contracts of the `agent` kind, one module a version."""
