"""Finds what should not be in a repository: injections, weak crypto, secrets, known-bad packages.

The scanned repository is data. None of its code is imported or run, none of its configuration is
read, and a comment in it that asks for silence is counted, not obeyed.
"""
