"""Fakes of ports for tests: small, in memory, and without a clock of their own."""
