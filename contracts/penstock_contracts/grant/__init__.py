"""Grants: the signed proof that people allowed exactly one thing."""
