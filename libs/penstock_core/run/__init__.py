"""Runs: state, transitions, decisions, effects and snapshots."""
