"""Which agent gets which secret here: what its manifest names and an operator has granted."""

import re
from collections.abc import Container
from dataclasses import dataclass

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.values import NAME_PATTERN, Failure
from penstock_executor.outcomes import failed
from penstock_runtime.ports.secrets import MIN_AGENT_SECRET_CHARS, Secrets, SecretUnusable

SETTING = "PENSTOCK_AGENT_GRANTS"
SECRET_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"  # noqa: S105 - of names; each is a variable too

_AGENT, _SECRET = re.compile(NAME_PATTERN), re.compile(SECRET_PATTERN)


@dataclass(frozen=True, slots=True, order=True)
class SecretGrant:
    """One agent may be given one secret."""

    agent: str
    secret: str


def read_secret_grants(text: str) -> tuple[SecretGrant, ...]:
    """Read `agent:secret`, separated by commas or new lines; `#` begins a comment.

    Raises:
        ValueError: naming every entry at fault, not only the first.
    """
    grants: set[SecretGrant] = set()
    faults: list[str] = []
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    for number, entry in enumerate(entries, 1):
        agent, _, secret = (part.strip() for part in entry.partition(":"))
        if _AGENT.fullmatch(agent) and _SECRET.fullmatch(secret):
            grants.add(SecretGrant(agent, secret))
        else:  # its text might be a secret that was put into the wrong variable
            faults.append(f"entry {number} is not agent:secret")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(sorted(grants))


class EverySecret:
    """Grants everything: for who runs an agent by hand, and is the operator."""

    def __contains__(self, grant: object) -> bool:
        """Say yes."""
        return True


class SecretGiver:
    """Gives agents their secrets, or a refusal before anything runs.

    Args:
        secrets: where they come from.
        grants: of the operator; nothing is granted by default.
    """

    def __init__(self, secrets: Secrets, grants: Container[SecretGrant] = ()) -> None:
        self._secrets = secrets
        self._grants = grants

    async def give(self, manifest: AgentManifest) -> dict[str, str] | Failure:
        """Give the variables of an agent, or say all that stands in the way."""
        agent = manifest.name
        wanted = dict(manifest.asked_secrets)
        denied = [name for name in wanted if SecretGrant(agent, name) not in self._grants]
        missing = [name for name in denied if not wanted[name]]
        if missing:
            names = ", ".join(missing)
            mend = ",".join(f"{agent}:{name}" for name in missing)
            return failed(
                Code.SECRET_REFUSED,
                f"{agent} is not granted {names} on this executor; {SETTING}={mend} would",
            )
        values: dict[str, str] = {}
        faults: list[str] = []
        absent = False
        for name in (one for one in wanted if one not in denied):
            try:
                value = await self._secrets.find(name)
            except SecretUnusable as fault:
                faults.append(f"secret {name} of {agent}: {fault}")
                continue
            if value is None:
                if not wanted[name]:
                    absent = True
                    where = self._secrets.places(name)
                    faults.append(f"secret {name} of {agent} is not here; provide {where}")
            elif unfit := _unfit(value):
                faults.append(f"secret {name} of {agent} {unfit}")
            else:
                values[name.upper().replace("-", "_")] = value
        if faults:
            code = Code.AGENT_UNAVAILABLE if absent else Code.SECRET_REFUSED
            return failed(code, "; ".join(faults))
        return values


def _unfit(value: str) -> str | None:
    if len(value) < MIN_AGENT_SECRET_CHARS:
        return (
            f"has fewer than {MIN_AGENT_SECRET_CHARS} characters: "
            "it could not be found again in what the agent emits"
        )
    return "holds a NUL character, which no variable can" if "\0" in value else None
