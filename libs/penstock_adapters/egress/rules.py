"""Which destinations a task may reach: by name and port first, by resolved address second."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from penstock_runtime.ports.sandbox import EgressRule

RESOLVE_TIMEOUT_S = 10.0
"""Seconds a name may take to resolve."""

MAX_PINNED_NAMES = 256
"""Names resolved and pinned for one task."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class EgressDenied(Exception):
    """A destination that a task must not reach; the message says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """An allowed destination with the address every connection of the task will use."""

    host: str
    port: int
    address: str


class EgressPolicy:
    """Decides for one task. A name is resolved once and pinned, so it cannot change its meaning.

    Addresses that are not global (private, loopback, link-local, ...) are reachable only where a
    rule names that very address, or `localhost`.

    Args:
        rules: What the task may reach.
        resolve: Finds the addresses of a name, raising OSError; the system's resolver if None.
    """

    def __init__(self, rules: Sequence[EgressRule], resolve: Resolve | None = None) -> None:
        self._resolve_name = resolve or system_addresses
        self._rules = tuple(EgressRule(canonical_host(rule.host), rule.port) for rule in rules)
        self._pinned: dict[str, asyncio.Task[str]] = {}

    async def decide(self, host: str, port: int) -> Destination:
        """Allow a destination and say which address it has.

        Raises:
            EgressDenied: No rule allows it, it does not resolve, or it resolves to an address
                that is not global.
        """
        name = canonical_host(host)
        rule = next((rule for rule in self._rules if _matches(rule, name, port)), None)
        if rule is None:
            raise EgressDenied("no rule allows it")
        literal = parse_address(name)
        if literal is not None:
            if parse_address(rule.host) != literal:
                raise EgressDenied("an address is allowed only by a rule that names it")
            return Destination(name, port, str(literal))
        return Destination(name, port, await self._resolve(name))

    async def _resolve(self, name: str) -> str:
        if name not in self._pinned:
            if len(self._pinned) >= MAX_PINNED_NAMES:
                raise EgressDenied("too many different names")
            self._pinned[name] = asyncio.create_task(self._lookup(name))
        return await asyncio.shield(self._pinned[name])

    async def _lookup(self, name: str) -> str:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await self._resolve_name(name)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise EgressDenied("the name does not resolve") from error
        for text in found:
            address = parse_address(canonical_host(text))
            if address is not None and _may_pin(name, address):
                return str(address)
        raise EgressDenied("the name resolves to an address that is not public")

    def close(self) -> None:
        """Give up what is still being resolved."""
        for lookup in self._pinned.values():
            lookup.cancel()


async def system_addresses(name: str) -> list[str]:
    """The addresses of a name, as the system's resolver finds them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def canonical_host(host: str) -> str:
    """Lower case, without brackets, scope or trailing dot."""
    return host.strip("[]").partition("%")[0].rstrip(".").lower()


def parse_address(host: str) -> Address | None:
    """The address a literal stands for, IPv4-mapped ones unwrapped; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _may_pin(name: str, address: Address) -> bool:
    return address.is_loopback if name == "localhost" else _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.sixtofour
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None and not embedded.is_global:
            return False
    return address.is_global and not address.is_multicast


def _matches(rule: EgressRule, name: str, port: int) -> bool:
    if rule.port != port:
        return False
    if rule.host.startswith("*."):
        return name.endswith(rule.host[1:]) and parse_address(name) is None
    literal = parse_address(rule.host)
    if literal is not None:
        return literal == parse_address(name)
    return name == rule.host
