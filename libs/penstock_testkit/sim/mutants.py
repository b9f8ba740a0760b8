"""Broken variants of the protocol: one rule taken out of production code at a time.

A simulation that finds nothing proves nothing unless it finds something where a rule is missing.
Each mutant replaces a method or a constant of production code (or of the adapter that stands for
a server) for as long as its context lasts; run it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """A protocol that lacks one rule.

    Attributes:
        rule: that is taken out.
        why: what breaks without it.
        apply: take it out while the context lasts.
        guards: `safety`: something wrong happens without it; `liveness`: something never does;
            `saved time`: the same happens, later.
    """

    name: str
    rule: str
    why: str
    apply: Callable[[], AbstractContextManager[None]]
    guards: str = "safety"


@contextmanager
def swapped(*changes: tuple[object, str, object]) -> Iterator[None]:
    """Replace attributes, (owner, name, value) each, and put them back."""
    before = [(owner, name, _own(owner, name)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _own(owner: object, name: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Give an attribute as it stands, a static method as such."""
    return vars(owner)[name]


def all_mutants() -> Mapping[str, Mutant]:
    """Give every mutant by name."""
    from penstock_testkit.sim import (  # noqa: PLC0415 - they are built from this module
        mutants_people,
        mutants_recovery,
        mutants_relay,
        mutants_store,
        mutants_tasks,
    )

    found = (
        *mutants_store.MUTANTS, *mutants_relay.MUTANTS, *mutants_tasks.MUTANTS,
        *mutants_people.MUTANTS, *mutants_recovery.MUTANTS,
    )  # fmt: skip
    assert len({one.name for one in found}) == len(found), "a mutant has two namesakes"
    return {one.name: one for one in found}
