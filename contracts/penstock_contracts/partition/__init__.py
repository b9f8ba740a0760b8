"""Contracts of the `partition` kind, one module a version."""
