"""Tells people and systems: one message, several channels, each with its own outcome."""
