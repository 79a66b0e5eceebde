"""Who calls: credentials in, the header of a call out; knows when a token has to be renewed, and asks nobody by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from agentmesh_client.calls import Call, reader
from agentmesh_client.models import AccessToken

PATH = "/api/v1/auth/token"
LONGEST_MARGIN = 60.0
MARGIN = 0.1
"""A token is renewed when a tenth of its life is left, at most a minute."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that somebody else renews."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user or a client."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked for with."""

    fields: Mapping[str, str] = field(repr=False)


Credentials = Token | ApiKey | Grant


def credentials_of(
    *,
    token: str | None = None,
    api_key: str | None = None,
    login: str | None = None,
    password: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
) -> Credentials:
    """The one credential that is given. Raises ValueError for none, half of one, or several."""
    given = [name for name, value in locals().items() if value is not None]
    match given:
        case ["token"]:
            return Token(str(token))
        case ["api_key"]:
            return ApiKey(str(api_key))
        case ["login", "password"]:
            return Grant({"grant_type": "password", "username": str(login), "password": str(password)})
        case ["client_id", "client_secret"]:
            return Grant({"grant_type": "client_credentials", "client_id": str(client_id), "client_secret": str(client_secret)})
    told = ", ".join(given) or "nothing"
    raise ValueError(f"Give token, api_key, login and password, or client_id and client_secret; given: {told}.")


class Signer:
    """Holds the token that is in use."""

    def __init__(self, credentials: Credentials, now: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._now = now
        self._renew_at = float("-inf")
        self.token: str | None = credentials.token if isinstance(credentials, Token) else None

    @property
    def renews(self) -> bool:
        """True where a new token can be asked for."""
        return isinstance(self._credentials, Grant)

    def due(self) -> bool:
        """True where a token has to be asked for before the next call."""
        return self.renews and self._now() >= self._renew_at

    def headers(self) -> dict[str, str]:
        """The header of the next call."""
        if isinstance(self._credentials, ApiKey):
            return {"X-API-Key": self._credentials.key}
        return {"Authorization": f"Bearer {self.token}"}

    def call(self) -> Call[AccessToken]:
        """The call that asks for a token."""
        assert isinstance(self._credentials, Grant)
        body = urlencode(self._credentials.fields).encode()
        kind = "application/x-www-form-urlencoded"
        return Call("POST", PATH, reader(AccessToken), body=body, content_type=kind, signed=False)

    def took(self, found: AccessToken) -> None:
        """This token is in use from now on."""
        self.token = found.access_token
        self._renew_at = self._now() + found.expires_in - min(LONGEST_MARGIN, MARGIN * found.expires_in)
