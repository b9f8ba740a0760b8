"""The rate limit's windows, the addresses it counts, and who may do what."""

from __future__ import annotations

import pytest

from penstock_adapters.memory.projection import MemoryProjection
from penstock_contracts.values import SYSTEM_TENANT
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.ports.projection import ProjectionCommit, ViewRow
from penstock_testkit.fakes.clock import ManualClock
from penstock_webhook_gateway.http.access import (
    ADMINISTER,
    DECIDE,
    OPERATE,
    READ,
    Principal,
    Role,
    authenticate,
    require,
    token_hash,
)
from penstock_webhook_gateway.http.limits import ADDRESSES_MAX, WINDOW_S, RateLimit
from penstock_webhook_gateway.http.middleware import _counted_as, _is_loopback, _storable
from penstock_webhook_gateway.http.problems import Problem


def test_a_window_allows_its_number_and_begins_again_after_a_minute():
    limit = RateLimit(2)
    told = [limit.take("a", now) for now in (0.0, 0.4, 30.2, 59.99, 60.0)]
    assert [verdict.allowed for verdict in told] == [True, True, False, False, True]
    assert [verdict.remaining for verdict in told] == [1, 0, 0, 0, 1]
    assert [verdict.reset_s for verdict in told] == [60, 60, 30, 1, 60]


def test_addresses_are_counted_apart():
    limit = RateLimit(1)
    assert limit.take("a", 0).allowed
    assert limit.take("b", 0).allowed
    assert not limit.take("a", 0).allowed


def test_the_headers_are_those_of_the_draft():
    limit = RateLimit(1)
    assert limit.take("a", 0).headers() == {
        "RateLimit-Policy": f'"default";q=1;w={WINDOW_S}',
        "RateLimit": '"default";r=0;t=60',
    }
    assert limit.take("a", 12.5).headers() == {
        "RateLimit-Policy": f'"default";q=1;w={WINDOW_S}',
        "RateLimit": '"default";r=0;t=48',
        "Retry-After": "48",
    }


def test_memory_is_bounded_and_the_longest_silent_address_goes_first():
    limit = RateLimit(1)
    limit.take("old", 0)
    limit.take("kept", 0)
    limit.take("kept", 0)
    for number in range(ADDRESSES_MAX - 1):
        limit.take(str(number), 0)
    assert len(limit._windows) == ADDRESSES_MAX
    assert not limit.take("kept", 0).allowed
    assert limit.take("old", 0).allowed


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("rubbish", "rubbish"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_counted_as_one(address: str, network: str):
    assert _counted_as(address) == network


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("localhost", False),
        ("unknown", False),
    ],
)
def test_local_is_what_the_address_says(address: str, local: bool):
    assert _is_loopback(address) is local


@pytest.mark.parametrize(
    ("text", "storable"), [("é/", True), ("", True), ("a\x00", False), ("\udc80", False)]
)
def test_keys_are_utf_8_without_zero(text: str, storable: bool):
    assert _storable(text) is storable


# --- access -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "roles"),
    [
        (READ, {"viewer", "operator", "approver", "auditor", "admin"}),
        (OPERATE, {"operator", "admin"}),
        (DECIDE, {"viewer", "operator", "approver", "auditor", "admin"}),
        (ADMINISTER, {"admin"}),
    ],
)
def test_each_role_reaches_what_it_should(allowed: frozenset[Role], roles: set[str]):
    for role in Role:
        principal = Principal("ada", (role.value,))
        if role.value in roles:
            assert require(principal, allowed) is principal
        else:
            with pytest.raises(Problem, match="needs one of the roles"):
                require(principal, allowed)


def test_a_token_without_roles_may_nothing():
    for allowed in (READ, OPERATE, DECIDE, ADMINISTER):
        with pytest.raises(Problem) as caught:
            require(Principal("ada", ("future",)), allowed)
        assert caught.value.status == 403


def test_nobody_is_asked_for_a_token():
    with pytest.raises(Problem) as caught:
        require(None, READ)
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


async def store_with(secret: str) -> MemoryProjection:
    store = MemoryProjection(ManualClock())
    row = await store.acquire("p", "o", 10)
    assert isinstance(row, PartitionRow)
    body = {"name": "ada", "tenant": "acme", "roles": ["viewer"]}
    token = ViewRow("token", SYSTEM_TENANT, token_hash(secret), body=body)
    await store.commit(ProjectionCommit("p", row.epoch, row.commit_number, upserts=[token]))
    return store


@pytest.mark.parametrize("given", ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "])
async def test_a_known_token_names_its_caller(given: str):
    store = await store_with("s3cret")
    who = await authenticate({"Authorization": given}, store)
    assert who == Principal("ada", ("viewer",), "acme")
    assert who is not None
    assert who.actor == "token:ada"


async def test_without_the_header_nobody_calls():
    assert await authenticate({}, await store_with("x")) is None


@pytest.mark.parametrize(
    "given",
    ["s3cret", "Bearer", "Bearer S3CRET", "Basic s3cret", "Bearer " + "x" * 512, "Bearer \udce9"],
)
async def test_anything_else_is_refused_without_quoting_it(given: str):
    store = await store_with("s3cret")
    with pytest.raises(Problem) as caught:
        await authenticate({"Authorization": given}, store)
    assert caught.value.status == 401
    assert "s3cret" not in caught.value.detail
