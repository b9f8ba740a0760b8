"""The same change made to plain data: what an edited file has to say when it is read again."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.models import ConfigChange

Steps = Sequence[str | int]
# What a parser of JSON, TOML or YAML gives.
Data: TypeAlias = Any
MAX_VALUES = 200_000


def unshared(value: object, budget: list[int] | None = None) -> Data:
    """A copy in which nothing occurs twice, so that an alias can be changed in one place only.

    Raises:
        Unfit: More than `MAX_VALUES` values (aliases of aliases).
    """
    left = budget if budget is not None else [MAX_VALUES]
    left[0] -= 1
    if left[0] < 0:
        raise Unfit(f"the file holds more than {MAX_VALUES} values")
    if isinstance(value, dict):
        plain = cast("dict[Any, object]", value)
        return {key: unshared(item, left) for key, item in plain.items()}
    if isinstance(value, list):
        return [unshared(item, left) for item in cast("list[object]", value)]
    return value


def changed_data(data: object, task: ConfigChange) -> Data:
    """The data after the change.

    Raises:
        Unfit: The key is absent (delete), present (create), or leads through a scalar.
    """
    root: dict[Any, Any] = {"": {} if data is None else data}
    holder: Any = root
    key: Any = ""
    for depth, step in enumerate(task.steps):
        holder = holder[key]
        if isinstance(holder, dict):
            key = _name(cast("dict[Any, Any]", holder), step)
        elif isinstance(holder, list):
            key = _position(cast("list[Any]", holder), step, task)
        else:
            raise Unfit(f"{task.label}: {step!r} is looked for in a single value")
        if not _has(holder, key):
            if task.action == "delete":
                raise Unfit(f"{task.label} is not there")
            _put(holder, key, nested(task, depth + 1))
            return root[""]
    if task.action == "create":
        raise Unfit(f"{task.label} is there already")
    if task.action == "delete":
        del holder[key]
    else:
        holder[key] = task.value
    return root[""]


def nested(task: ConfigChange, depth: int) -> Data:
    """The value inside the tables that the steps from `depth` on name."""
    value: Any = task.value
    for later in reversed(task.steps[depth:]):
        value = {str(later): value}
    return value


def _name(table: dict[Any, Any], step: str | int) -> Data:
    if step in table:
        return step
    return next((key for key in table if str(key) == str(step)), str(step))


def _position(items: list[Any], step: str | int, task: ConfigChange) -> int:
    if not str(step).isdecimal():
        raise Unfit(f"{task.label}: {step!r} is no position of a list")
    if int(step) > len(items):
        raise Unfit(f"{task.label}: the list has {len(items)} entries only")
    return int(step)


def _has(holder: Data, key: Data) -> bool:
    return key < len(holder) if isinstance(holder, list) else key in holder


def _put(holder: Data, key: Data, value: object) -> None:
    if isinstance(holder, list):
        holder.append(value)
    else:
        holder[key] = value


def same(left: object, right: object) -> bool:
    """Equal in types too: 1, 1.0 and True are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        mine, other = cast("dict[Any, object]", left), cast("dict[Any, object]", right)
        return mine.keys() == other.keys() and all(same(mine[key], other[key]) for key in mine)
    if isinstance(left, list) and isinstance(right, list):
        ours, theirs = cast("list[object]", left), cast("list[object]", right)
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return left == right or (left != left and right != right)  # noqa: PLR0124 - not a number
