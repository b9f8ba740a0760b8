"""Wrappers that report spans of what passes a port; without tracing none of them is in the way."""
