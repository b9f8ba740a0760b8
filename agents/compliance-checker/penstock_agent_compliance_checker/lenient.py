"""Strangers' documents: what is not of the expected kind is as if it were not there."""

from collections.abc import Mapping
from typing import cast


def table_of(value: object) -> Mapping[str, object]:
    """Give an object, or an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def texts_of(value: object) -> list[str]:
    """Give the texts of a list, or none."""
    if not isinstance(value, list):
        return []
    return [item for item in cast("list[object]", value) if isinstance(item, str)]
