"""Artifacts: what an agent leaves beside its output."""
