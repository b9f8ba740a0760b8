"""Which destinations a task may reach, and what the proxy understands."""

from __future__ import annotations

import pytest

from penstock_adapters.egress.proxy import BadRequest, parse_head
from penstock_adapters.egress.rules import EgressDenied, EgressPolicy
from penstock_runtime.ports.sandbox import EgressRule

PUBLIC, OTHER = "93.184.215.14", "1.1.1.1"


class Names:
    """A resolver whose answers can change."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name not in self.addresses:
            raise OSError("no such name")
        return self.addresses[name]


def policy(*rules: tuple[str, int], names: Names | None = None) -> EgressPolicy:
    return EgressPolicy([EgressRule(*rule) for rule in rules], names or Names())


async def test_a_name_is_resolved_once_and_pinned():
    names = Names(example_org=[PUBLIC])
    rules = policy(("example.org", 443), names=names)
    first = await rules.decide("Example.ORG.", 443)
    names.addresses["example.org"] = [OTHER]
    second = await rules.decide("example.org", 443)
    assert (first.address, second.address) == (PUBLIC, PUBLIC)
    assert names.asked == ["example.org"]


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("example.org", 80),
        ("evil.org", 443),
        ("xexample.org", 443),
        ("example.org.evil.org", 443),
        (PUBLIC, 443),
    ],
)
async def test_what_no_rule_names_is_denied(host: str, port: int):
    names = Names(example_org=[PUBLIC], evil_org=[PUBLIC])
    with pytest.raises(EgressDenied):
        await policy(("example.org", 443), names=names).decide(host, port)


async def test_a_suffix_covers_what_is_below_it_and_not_itself():
    names = Names(a_example_org=[PUBLIC], example_org=[PUBLIC])
    rules = policy(("*.example.org", 443), names=names)
    assert (await rules.decide("a.example.org", 443)).address == PUBLIC
    for host in ("example.org", "aexample.org", "10.0.0.1"):
        with pytest.raises(EgressDenied):
            await rules.decide(host, 443)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        # penstock: ignore[bandit:B104] -- refused, not bound
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
async def test_a_name_must_not_lead_inside(address: str):
    names = Names(example_org=[address])
    with pytest.raises(EgressDenied, match="not public"):
        await policy(("example.org", 443), names=names).decide("example.org", 443)


async def test_the_public_address_among_several_is_taken():
    names = Names(example_org=["10.0.0.1", PUBLIC])
    rules = policy(("example.org", 443), names=names)
    assert (await rules.decide("example.org", 443)).address == PUBLIC


async def test_a_private_address_must_be_named_itself():
    rules = policy(("10.0.0.1", 8080))
    assert (await rules.decide("10.0.0.1", 8080)).address == "10.0.0.1"
    assert (await rules.decide("::ffff:10.0.0.1", 8080)).address == "10.0.0.1"
    with pytest.raises(EgressDenied):
        await rules.decide("10.0.0.2", 8080)


async def test_localhost_must_be_named_and_stays_at_home():
    names = Names(localhost=[PUBLIC, "127.0.0.1"])
    rules = policy(("localhost", 80), names=names)
    assert (await rules.decide("localhost", 80)).address == "127.0.0.1"


async def test_an_unknown_name_is_denied():
    with pytest.raises(EgressDenied, match="does not resolve"):
        await policy(("nowhere.example", 80)).decide("nowhere.example", 80)


def test_connect_is_understood():
    request = parse_head(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (request.host, request.port, request.forward) == ("2001:db8::1", 443, None)


def test_a_plain_request_is_rewritten_for_one_use():
    request = parse_head(
        b"POST http://Example.org:8080/a/b?c=d HTTP/1.1\r\nHost: other\r\nX-A: b\r\n"
        b"Proxy-Authorization: secret\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"
    )
    assert (request.host, request.port) == ("example.org", 8080)
    assert request.forward == (
        b"POST /a/b?c=d HTTP/1.1\r\nHost: Example.org:8080\r\nX-A: b\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1",
        b"GET http://user@host/ HTTP/1.1",
        b"GET https://host/ HTTP/1.1",
        b"CONNECT host HTTP/1.1",
        b"CONNECT host:99999 HTTP/1.1",
        b"CONNECT host:1 SPDY/3",
        b"G\xc3\xa4T http://host/ HTTP/1.1",
        b"GET  http://host/ HTTP/1.1",
    ],
)
def test_what_is_not_understood_is_refused(head: bytes):
    with pytest.raises(BadRequest):
        parse_head(head + b"\r\n\r\n")
