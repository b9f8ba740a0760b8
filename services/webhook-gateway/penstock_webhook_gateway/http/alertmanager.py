"""Alertmanager's webhook, version 4.

Groups are sent again and resolved alerts arrive too, so an alert's trigger id is made of group
key, fingerprint, status and start: sent again it starts nothing new.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from penstock_contracts.ids import derive
from penstock_contracts.values import JsonObject, Wire

ALERTS_MAX = 10_000
UNSET_TIME = "0001-01-01T00:00:00Z"  # an end that Alertmanager does not know yet
_NOT_TOKEN = re.compile(r"[^A-Za-z0-9_-]+")


class Alert(Wire):
    """One alert of a group."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    starts_at: str = Field(alias="startsAt")
    ends_at: str = Field(default="", alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str = Field(min_length=1)


class AlertGroup(Wire):
    """What Alertmanager posts."""

    version: Literal["4"]
    group_key: str = Field(alias="groupKey")
    truncated_alerts: int = Field(default=0, alias="truncatedAlerts")
    status: Literal["firing", "resolved"]
    receiver: str = ""
    group_labels: dict[str, str] = Field(default={}, alias="groupLabels")
    common_labels: dict[str, str] = Field(default={}, alias="commonLabels")
    common_annotations: dict[str, str] = Field(default={}, alias="commonAnnotations")
    external_url: str = Field(default="", alias="externalURL")
    alerts: tuple[Alert, ...] = Field(max_length=ALERTS_MAX)


def triggers_of(group: AlertGroup) -> Iterator[tuple[str, str, JsonObject]]:
    """Give path, key and data of each alert's trigger.

    The path is `alertmanager.<status>.<alertname>`, with what no subject may hold replaced by _.
    """
    about: JsonObject = {
        "receiver": group.receiver,
        "group_key": group.group_key,
        "group_labels": dict(group.group_labels),
        "external_url": group.external_url,
    }
    for alert in group.alerts:
        name = _NOT_TOKEN.sub("_", alert.labels.get("alertname", "")) or "unnamed"
        key = derive("alert", group.group_key, alert.fingerprint, alert.status, alert.starts_at)
        data: JsonObject = {
            "status": alert.status,
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "starts_at": alert.starts_at,
            "ends_at": "" if alert.ends_at == UNSET_TIME else alert.ends_at,
            "generator_url": alert.generator_url,
            "fingerprint": alert.fingerprint,
            "group": about,
        }
        yield f"alertmanager.{alert.status}.{name[:100]}", key, data
