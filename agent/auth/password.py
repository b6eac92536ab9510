"""`type: password`: the platform's own dialect, and others that follow no RFC.

A form with username and password gives a pair of tokens; a form with the refresh token gives the next
pair, and the old refresh token is void from then on.

    POST {url}/auth/password   username=…&password=…
    POST {url}/auth/refresh    refresh_token=…
    POST {url}{logout_path}    refresh_token=…         (where there is such a thing)
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent.auth.exchange import AuthApi, Denied, Failed, Lost
from agent.auth.grant import Credentials, Posting, Rules
from agent.auth.session import Sealer, Secrets
from agent.auth.token import Token
from agent.config.model import PasswordAuth
from agent.errors import SecretError


class PasswordGrant(Posting):
    """Speaks the dialect; decides nothing."""

    def __init__(self, auth: PasswordAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        super().__init__(api, secrets, sealer, auth.dialect.fields.refresh_token)
        self.auth = auth
        self.rules = Rules(renews_by="refresh", dead_on=auth.login_again_on, login_limit=auth.login_limit)

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""
        auth, dialect, mark = self.auth, self.auth.dialect, self._sealer.mark
        place, person, refresh = mark(f"place {auth.url}"), "", None
        renewal, login = self._words(), self._words()
        try:
            renewal.add(dialect.extra)
            refresh = renewal.call(auth.url + auth.refresh_path, dialect)
            username = login.put(dialect.fields.username, auth.username)
            login.hidden.add(username)
            person = mark(f"person {username}")
            login.put(dialect.fields.password, auth.password)
            login.add(dialect.extra)
        except SecretError as error:
            return Credentials(place=place, person=person, mark="", refresh=refresh, problem=error.message)
        call = login.call(auth.url + auth.login_path, dialect)
        return Credentials(place=place, person=person, mark=self._marked(call), login=call, refresh=refresh)

    async def part(self, token: Token) -> Denied | Failed | Lost | str:
        """See `parting.Farewell`."""
        if not self.auth.logout_path:
            return ""
        who = await asyncio.to_thread(self.credentials)
        if who.refresh is None:
            return Failed(text=who.problem)
        url = self.auth.url + self.auth.logout_path
        call = replace(who.refresh, url=url).plus(self._refresh_token, token.refresh)
        return await self._api.tell(call) or "the Auth API was told"
