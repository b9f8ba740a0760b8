"""Contracts of the `task` kind, one module a version."""
