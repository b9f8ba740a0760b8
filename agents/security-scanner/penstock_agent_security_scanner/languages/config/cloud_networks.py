"""Networks that let everybody in."""

from collections.abc import Callable, Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.read_terraform import Section

Found = Iterator[tuple[Rule, int]]

# penstock: ignore[bandit:B104] -- looked for, not bound
_EVERY_ADDRESS = ("0.0.0.0/0", "0.0.0.0")  # noqa: S104 (looked for, not bound)
EVERYBODY = frozenset({*_EVERY_ADDRESS, "::/0", "0/0", "*", "internet", "any"})
# Ports of administration and data.
_GUARDED = frozenset(
    {20, 21, 22, 23, 135, 137, 138, 139, 389, 445, 636, 1433, 1434, 1521, 2375, 2376, 2379, 3306,
     3389, 5432, 5439, 5500, 5601, 5900, 5984, 5985, 5986, 6379, 7000, 7001, 8020, 9042, 9092, 9160,
     9200, 9300, 11211, 27017, 27018, 50070, 61621}
)  # fmt: skip
_WEB = frozenset({80, 443})


def judged(section: Section) -> Found:
    """Rule and line of every open door."""
    if section.type != "resource" or not section.labels:
        return
    judge = _BY_TYPE.get(section.labels[0])
    if judge is not None:
        yield from judge(section.values)


def _group(values: Part) -> Found:
    for rule in values.each("ingress"):
        yield from _aws(rule)


def _group_rule(values: Part) -> Found:
    if values.text("type") == "ingress":
        yield from _aws(values)


def _azure_group(values: Part) -> Found:
    for rule in values.each("security_rule"):
        yield from _azure(rule)


def _alibaba(values: Part) -> Found:
    if values.text("type") == "ingress" and values.text("cidr_ip") in EVERYBODY:
        ports = _ranges(values.text("port_range").replace("/", "-"))
        yield _rule_for(ports), values.line_of("cidr_ip")


def _other(values: Part) -> Found:
    for rule in [values, *values.each("inbound_rule")]:
        for name in ("source_addresses", "remote_ip_prefix"):
            if _open(rule, name):
                ports = rule.text("port_range") or rule.text("port_range_min")
                yield _rule_for(_ranges(ports)), rule.line_of(name)


def _open(part: Part, name: str) -> bool:
    return any(item.known and item.text().lower() in EVERYBODY for item in part.each(name))


def _aws(rule: Part) -> Found:
    for name in ("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6"):
        if not _open(rule, name):
            continue
        start, end = rule.scalar("from_port"), rule.scalar("to_port")
        protocol = rule.text("protocol") or rule.text("ip_protocol")
        ports: list[tuple[int, int]] | None = None
        if protocol in ("-1", "all"):
            ports = [(0, 65_535)]
        elif isinstance(start, int) and isinstance(end, int):
            ports = [(0, 65_535)] if (start, end) in ((0, 0), (-1, -1)) else [(start, end)]
        if protocol in ("icmp", "icmpv6", "58", "1"):
            ports = [(80, 80)]
        if ports is None and (start is None or not isinstance(start, int)):
            ports = []
        yield _rule_for(ports or []), rule.line_of(name)


def _rule_for(ports: list[tuple[int, int]]) -> Rule:
    for start, end in ports:
        if any(start <= port <= end for port in _GUARDED):
            return rules.OPEN_INGRESS
    return rules.OPEN_ANY


def _ranges(text: str) -> list[tuple[int, int]]:
    if text in ("*", "all", "1-65535", "0-65535"):
        return [(0, 65_535)]
    found: list[tuple[int, int]] = []
    for piece in text.split(","):
        start, _, end = piece.strip().partition("-")
        if start.isdigit() and (end or start).isdigit():
            found.append((int(start), int(end or start)))
    return found


def _acl(values: Part) -> Found:
    for rule in [values, *values.each("ingress")]:
        if rule.text("egress") == "true":
            continue
        allowed = (rule.text("rule_action") or rule.text("action")).lower() == "allow"
        for name in ("cidr_block", "ipv6_cidr_block"):
            if allowed and _open(rule, name):
                start, end = rule.scalar("from_port"), rule.scalar("to_port")
                ports = [(start, end)] if isinstance(start, int) and isinstance(end, int) else []
                if rule.text("protocol") in ("-1", "all"):
                    ports = [(0, 65_535)]
                yield _rule_for(ports), rule.line_of(name)


def _azure(rule: Part) -> Found:
    inbound = rule.text("direction").lower() == "inbound" and rule.text("access").lower() == "allow"
    if not inbound or rule.text("protocol").lower() == "icmp":
        return
    for name in ("source_address_prefix", "source_address_prefixes"):
        if _open(rule, name):
            ports = [
                found
                for key in ("destination_port_range", "destination_port_ranges")
                for part in rule.each(key)
                for found in _ranges(part.text())
            ]
            yield _rule_for(ports), rule.line_of(name)


def _google(values: Part) -> Found:
    if values.text("direction").upper() == "EGRESS" or not _open(values, "source_ranges"):
        return
    for allowed in values.each("allow"):
        protocol = allowed.text("protocol").lower()
        listed = [found for part in allowed.each("ports") for found in _ranges(part.text())]
        if protocol == "icmp":
            continue
        ports = listed or ([(0, 65_535)] if protocol in ("all", "tcp") else [])
        yield _rule_for(ports), values.line_of("source_ranges")


_BY_TYPE: dict[str, Callable[[Part], Found]] = {
    "aws_security_group": _group,
    "aws_default_security_group": _group,
    "aws_security_group_rule": _group_rule,
    "aws_vpc_security_group_ingress_rule": _aws,
    "aws_network_acl": _acl,
    "aws_network_acl_rule": _acl,
    "aws_default_network_acl": _acl,
    "azurerm_network_security_rule": _azure,
    "azurerm_network_security_group": _azure_group,
    "google_compute_firewall": _google,
    "alicloud_security_group_rule": _alibaba,
    "digitalocean_firewall": _other,
    "openstack_networking_secgroup_rule_v2": _other,
}
