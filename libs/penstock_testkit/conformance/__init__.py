"""Conformance suites: one per port, run over every adapter of that port."""
