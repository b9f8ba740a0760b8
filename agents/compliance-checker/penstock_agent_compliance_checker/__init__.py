"""Judges a repository by rules on licences, web security settings and secrets."""
