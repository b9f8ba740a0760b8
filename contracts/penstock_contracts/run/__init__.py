"""Contracts of the `run` kind, one module a version."""
