"""Contracts of the `trigger` kind, one module a version."""
