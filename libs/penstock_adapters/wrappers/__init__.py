"""Wrappers around ports, one concern a file: retry and the like."""
