"""Contracts of the `workflow` kind, one module a version."""
