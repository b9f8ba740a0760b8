"""Test kit: conformance suites, builders and real servers for tests."""
