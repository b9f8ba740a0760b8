"""Laws of the graph, on random graphs."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_core.workflow.graph import (
    ancestors_of,
    behind_cycles,
    bit_of,
    cycles_of,
    dependents_of,
    order_of,
)
from penstock_core.workflow.validation import validate

MAX_SIZE = 30


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    """A graph without cycles whose nodes are defined in any order."""
    size = draw(st.integers(1, MAX_SIZE))
    names = [f"n{number}" for number in range(size)]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:number]), unique=True, max_size=4))
        if number
        else []
        for number, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    return {name: needs[name] for name in order}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"n{number}" for number in range(draw(st.integers(1, 12)))]
    return {name: draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) for name in names}


@given(dags())
def test_order_has_every_node_once_and_parents_first(needs: dict[str, list[str]]):
    order = order_of(needs)
    assert sorted(order) == sorted(needs)
    place = {name: number for number, name in enumerate(order)}
    assert all(place[parent] < place[name] for name in needs for parent in needs[name])
    assert order_of(needs) == order


@given(graphs())
def test_dependents_are_the_inverse_of_needs(needs: dict[str, list[str]]):
    edges = {(parent, name) for name, parents in needs.items() for parent in parents}
    found = dependents_of(needs)
    assert {(name, child) for name, children in found.items() for child in children} == edges
    assert list(found) == list(needs)


@given(dags())
def test_ancestors_are_the_parents_and_theirs(needs: dict[str, list[str]]):
    bits, known = bit_of(needs), ancestors_of(needs)
    for name, parents in needs.items():
        wanted = 0
        for parent in parents:
            wanted |= bits[parent] | known[parent]
        assert known[name] == wanted
        assert not known[name] & bits[name]


@given(graphs())
def test_cycles_are_cycles_and_none_is_missed(needs: dict[str, list[str]]):
    cycles = cycles_of(needs)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(after in needs[before] for before, after in itertools.pairwise(cycle))
    assert bool(cycles) == bool(behind_cycles(needs))
    without = {name: parents for name, parents in needs.items() if name not in behind_cycles(needs)}
    assert sorted(order_of(without)) == sorted(without)


def document(needs: dict[str, list[str]]) -> dict[str, Any]:
    nodes = {name: {"approval": {}, "needs": list(parents)} for name, parents in needs.items()}
    return {"name": "w", "nodes": nodes}


@settings(max_examples=40)
@given(dags())
def test_a_graph_without_cycles_is_valid(needs: dict[str, list[str]]):
    assert validate(document(needs), {}) == ()


@settings(max_examples=40)
@given(dags(), st.data())
def test_an_injected_cycle_is_found(needs: dict[str, list[str]], data: st.DataObject):
    order = order_of(needs)
    start = data.draw(st.integers(0, len(order) - 1))
    length = data.draw(st.integers(1, len(order) - start))
    ring = order[start : start + length]
    for before, after in zip(ring, [*ring[1:], ring[0]], strict=True):
        if before not in needs[after]:
            needs[after].append(before)
    codes = {problem.code for problem in validate(document(needs), {})}
    assert codes & {"cycle", "self_need"}
    assert codes <= {"cycle", "self_need", "unreachable"}
