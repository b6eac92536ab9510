"""`type: password`: the platform's own dialect.

A form with username and password gives a pair of tokens; a form with the refresh token gives the next
pair, and the old refresh token is void from then on.

    POST {url}/auth/password   username=…&password=…
    POST {url}/auth/refresh    refresh_token=…
    POST {url}{logout_path}    refresh_token=…         (where there is such a thing)
"""

from __future__ import annotations

from agent.auth.exchange import AuthApi, Denied, Exchange, Failed, Lost
from agent.auth.memory import Credentials
from agent.auth.session import Sealer, Secrets
from agent.auth.token import Token
from agent.config.model import PasswordAuth, SecretRef
from agent.errors import SecretError


class PasswordGrant:
    """Speaks the dialect; decides nothing."""

    def __init__(self, auth: PasswordAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        self.auth = auth
        self._api = api
        self._secrets = secrets
        self._sealer = sealer

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""
        mark, place = self._sealer.mark, self._sealer.mark(f"place {self.auth.url}")
        person = ""
        try:
            username = self._text(self.auth.username)
            person = mark(f"person {username}")
            password = self._secrets.resolve(self.auth.password).reveal()
        except SecretError as error:
            return Credentials(place=place, person=person, mark="", form={}, problem=error.message)
        return Credentials(
            place=place,
            person=person,
            mark=mark(f"login {len(username)} {username} {password}"),
            form={"username": username, "password": password},
        )

    async def login(self, who: Credentials) -> Exchange:
        """Send username and password."""
        return await self._api.post(self.auth.url + self.auth.login_path, who.form)

    async def refresh(self, refresh_token: str) -> Exchange:
        """Send the refresh token."""
        return await self._api.post(self.auth.url + self.auth.refresh_path, {"refresh_token": refresh_token})

    async def part(self, token: Token) -> Denied | Failed | Lost | str:
        """See `parting.Farewell`."""
        if not self.auth.logout_path:
            return ""
        url = self.auth.url + self.auth.logout_path
        return await self._api.tell(url, {"refresh_token": token.refresh}) or "the Auth API was told"

    def _text(self, value: SecretRef | str) -> str:
        return value if isinstance(value, str) else self._secrets.resolve(value).reveal()
