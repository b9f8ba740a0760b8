"""Contracts of the `approval` kind, one module a version."""
