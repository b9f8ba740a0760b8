"""Where the stack is and who we are: options, environment, then the state folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import typer

from penstock_cli.faults import CliFault, ExitCode

HOME_VARIABLE = "PENSTOCK_HOME"
URL_VARIABLE = "PENSTOCK_URL"
TOKEN_VARIABLE = "PENSTOCK_TOKEN"  # noqa: S105 - the name of a variable, not a token
DEFAULT_HOME = ".penstock"


@dataclass(frozen=True, slots=True)
class Access:
    """What all verbs share.

    Attributes:
        home: the state folder, absolute.
        json: print JSON for scripts.
        given_url: `--url` or PENSTOCK_URL; empty: ask the state folder.
        given_token: `--token` or PENSTOCK_TOKEN; empty: ask the state folder.
    """

    home: Path
    json: bool = False
    given_url: str = ""
    given_token: str = ""

    def url(self) -> str:
        """Give the gateway's base URL.

        Raises:
            CliFault: nothing runs here and no address was given.
        """
        if self.given_url:
            return self.given_url.rstrip("/")
        status = _read_object(self.home / "run" / "status.json")
        url = status.get("gateway_url") if status.get("state") == "ready" else None
        if not isinstance(url, str) or not url:
            raise CliFault(
                f"no Penstock runs in {self.home}",
                "start it with `penstock up --detach`, or name one with --url or PENSTOCK_URL",
                ExitCode.UNREACHABLE,
            )
        return url.rstrip("/")

    def token(self) -> str:
        """Give the API token; empty when there is none to be found."""
        if self.given_token:
            return self.given_token
        try:
            return (self.home / "credentials" / "admin.token").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise CliFault(
                f"{error.filename} cannot be read: {error.strerror}",
                "run as the user who started the stack, or give --token or PENSTOCK_TOKEN",
                ExitCode.DENIED,
            ) from None

    def auditor_url(self, database: str) -> str:
        """Give the auditor's connection URL of a database.

        Raises:
            CliFault: the state folder has none.
        """
        path = self.home / "credentials" / "auditor.url"
        url = _read_object(path).get(database)
        if not isinstance(url, str):
            raise CliFault(
                f"{path} names no database {database}",
                "run this on the machine of the stack, with PENSTOCK_HOME naming its state folder",
                ExitCode.UNREACHABLE,
            )
        return url

    def trigger_login(self) -> Mapping[str, str]:
        """Give url, user, password and inbox_prefix of the trigger user.

        Raises:
            CliFault: the state folder has none.
        """
        path = self.home / "credentials" / "trigger.creds"
        login = _read_object(path)
        if not login:
            raise CliFault(
                f"{path} does not exist",
                "it is written at the first `penstock up`",
                ExitCode.UNREACHABLE,
            )
        return {name: str(value) for name, value in login.items()}


def access_from(
    environ: Mapping[str, str], *, as_json: bool = False, url: str = "", token: str = "",
    home: Path | None = None,
) -> Access:  # fmt: skip
    """Resolve what was given on the command line and in the environment."""
    folder = home or Path(environ.get(HOME_VARIABLE) or DEFAULT_HOME)
    return Access(
        home=folder.expanduser().resolve(),
        json=as_json,
        given_url=url or environ.get(URL_VARIABLE, ""),
        given_token=token or environ.get(TOKEN_VARIABLE, ""),
    )


def access_of(context: typer.Context) -> Access:
    """Give what the root command resolved."""
    found = context.obj
    return found if isinstance(found, Access) else access_from(os.environ)


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise CliFault(
            f"{path} may not be read by this user",
            "run as the user who started the stack",
            ExitCode.DENIED,
        ) from None
    except (OSError, ValueError) as error:
        raise CliFault(f"{path} cannot be read: {error}") from None
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
