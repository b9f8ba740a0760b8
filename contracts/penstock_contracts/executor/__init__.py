"""Contracts of the `executor` kind, one module a version."""
