"""The graph of a workflow: order, dependents, ancestors, cycles. All linear in nodes and edges."""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

Needs = Mapping[str, Sequence[str]]
"""Each node's parents. Parents that are no nodes themselves are ignored."""


def dependents_of(needs: Needs) -> dict[str, tuple[str, ...]]:
    """Give for each node those that need it, in definition order: the inverse of `needs`."""
    found: dict[str, list[str]] = {name: [] for name in needs}
    for name, parents in needs.items():
        for parent in dict.fromkeys(parents):
            if parent in found:
                found[parent].append(name)
    return {name: tuple(children) for name, children in found.items()}


def order_of(needs: Needs) -> tuple[str, ...]:
    """Give a topological order; among nodes that are ready the earlier defined goes first.

    Raises:
        ValueError: there is a cycle.
    """
    order = _peel(needs)
    if len(order) != len(needs):
        raise ValueError("the nodes form a cycle")
    return tuple(order)


def _peel(needs: Needs) -> list[str]:
    """Take away node after node whose parents are gone; what is in or behind a cycle stays."""
    rank = {name: number for number, name in enumerate(needs)}
    names = list(needs)
    waiting = {name: len({p for p in parents if p in rank}) for name, parents in needs.items()}
    children = dependents_of(needs)
    ready = [rank[name] for name, count in waiting.items() if count == 0]
    order: list[str] = []
    while ready:
        name = names[heappop(ready)]
        order.append(name)
        for child in children[name]:
            waiting[child] -= 1
            if waiting[child] == 0:
                heappush(ready, rank[child])
    return order


def behind_cycles(needs: Needs) -> frozenset[str]:
    """Give the nodes that can never become ready: in a cycle, or downstream of one."""
    return frozenset(needs) - frozenset(_peel(needs))


def cycles_of(needs: Needs) -> tuple[tuple[str, ...], ...]:
    """Give one cycle for each knot of mutually dependent nodes, as `a, b, ..., a`.

    Each next node is one that the one before it needs. The walk only follows edges, each once.
    """
    stuck = behind_cycles(needs)
    seen: set[str] = set()
    found: list[tuple[str, ...]] = []
    for start in needs:
        if start not in stuck or start in seen:
            continue
        trail: dict[str, int] = {}
        name = start
        while name not in trail and name not in seen:
            trail[name] = len(trail)
            # Every stuck node has a stuck parent: otherwise it would have become ready.
            name = next(parent for parent in needs[name] if parent in stuck)
        seen.update(trail)
        if name in trail:
            loop = list(trail)[trail[name] :]
            found.append((*loop, name))
    return tuple(found)


def ancestors_of(needs: Needs) -> dict[str, int]:
    """Give each node's ancestors as a bit set over `bit_of`'s numbering.

    Bit sets keep 400 nodes with all their ancestors at some 20 KB and unions at one operation.
    Nodes in or behind a cycle get what is known without the cycle.
    """
    bits = bit_of(needs)
    known: dict[str, int] = dict.fromkeys(needs, 0)
    stuck = behind_cycles(needs)
    for name in (*_peel(needs), *(name for name in needs if name in stuck)):
        total = 0
        for parent in needs[name]:
            if parent in bits:
                total |= bits[parent] | known[parent]
        known[name] = total
    return known


def between(needs: Needs, ancestors: Mapping[str, int], first: str, last: str) -> tuple[str, ...]:
    """Give every node on a path from `first` to `last`, both included, in definition order."""
    bits = bit_of(needs)
    return tuple(
        name
        for name in needs
        if name in (first, last) or (ancestors[name] & bits[first] and ancestors[last] & bits[name])
    )


def bit_of(needs: Needs) -> dict[str, int]:
    """Give each node its own bit, by definition order."""
    return {name: 1 << number for number, name in enumerate(needs)}
