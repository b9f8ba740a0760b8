"""Approvals: state, transitions, decisions and effects."""
