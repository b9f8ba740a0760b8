"""What is in the repository means the same on every machine."""

from __future__ import annotations

import re

import pytest

from tests.architecture.tree import texts

# This file names what it forbids.
SELF = "tests/architecture/test_tracked_files.py"

# Written in pieces where a plain spelling would look like the thing itself.
FORBIDDEN: dict[str, re.Pattern[str]] = {
    "a path of one machine": re.compile(r"(?<![\w.$~/}-])/(root|work|home/[a-z]\w*|Users/\w+)/\w"),
    "a package registry's host": re.compile(
        r"\b(files\.pythonhosted\.org|pypi\.org|test\.pypi\.org|registry\.npmjs\.org)\b"
    ),
    "an index option": re.compile(r"--(extra-)?index-url|--find-links|--trusted-host"),
    "how it was written": re.compile(
        r"\bsub-?agents?\b|\bas an ai\b|\blanguage model\b|\bassistant\b|\bissue 3\b"
        r"|\bshared/design\b|\bacceptance\.md\b",
        re.IGNORECASE,
    ),
    "a key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}


# (file prefix, rule): an exception with its reason
ALLOWED: dict[tuple[str, str], str] = {
    ("agents/security-scanner/fixtures/", "a key"): "planted, for the scanner to find",
    ("tests/unit/agents/", "a key"): "the same",
    ("tests/security/", "a path of one machine"): "what a sandbox has to hide",
}


@pytest.mark.parametrize("rule", sorted(FORBIDDEN))
def test_tracked_files_are_free_of(rule: str):
    strays = [
        f"{name}:{number}: {match[0]!r}"
        for name, text in texts()
        if name != SELF
        and not any(name.startswith(prefix) and what == rule for prefix, what in ALLOWED)
        for number, line in enumerate(text.splitlines(), start=1)
        for match in [FORBIDDEN[rule].search(line)]
        if match
    ]
    assert strays == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_carry_hashes_and_no_addresses(lock: str):
    text = dict(texts())[lock]
    assert "://" not in text
    pins = re.findall(r"^([a-z0-9][\w.-]*==\S+)(.*)$", text, re.MULTILINE)
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"^[a-z0-9][^\\]*$", text, re.MULTILINE), "a pin without a hash"
