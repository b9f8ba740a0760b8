"""Hypothesis strategies over definitions and commands."""
