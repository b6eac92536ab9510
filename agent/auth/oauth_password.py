"""`type: oauth_password`: RFC 6749, section 4.3, then section 6.

POST {url}   grant_type=password&username=…&password=…&scope=…
POST {url}   grant_type=refresh_token&refresh_token=…
"""

from __future__ import annotations

from agent.auth.exchange import AuthApi
from agent.auth.grant import Credentials, Posting, Rules
from agent.auth.session import Sealer, Secrets
from agent.config.model import OAuthPasswordAuth
from agent.errors import SecretError


class OAuthPasswordGrant(Posting):
    """Speaks the dialect; decides nothing."""

    def __init__(self, auth: OAuthPasswordAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        super().__init__(api, secrets, sealer, auth.dialect.fields.refresh_token)
        self.auth = auth
        self.rules = Rules(renews_by="refresh", dead_on=auth.login_again_on, login_limit=auth.login_limit)

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""
        auth, dialect, mark = self.auth, self.auth.dialect, self._sealer.mark
        place, person, refresh = mark(f"place {auth.url}"), "", None
        renewal, login = self._words(), self._words()
        try:
            renewal.fields["grant_type"] = "refresh_token"
            client = renewal.identify(auth.client, dialect)
            renewal.add(dialect.extra)
            refresh = renewal.call(auth.url, dialect)
            login.fields["grant_type"] = "password"
            username = login.put(dialect.fields.username, auth.username)
            login.hidden.add(username)
            # A token belongs to the client, and is good for what was asked for.
            person = mark(f"person {(username, client, auth.scope, auth.audience)!r}")
            login.put(dialect.fields.password, auth.password)
            login.identify(auth.client, dialect)
            login.ask(scope=auth.scope, audience=auth.audience)
            login.add(dialect.extra)
        except SecretError as error:
            return Credentials(place=place, person=person, mark="", refresh=refresh, problem=error.message)
        call = login.call(auth.url, dialect)
        return Credentials(place=place, person=person, mark=self._marked(call), login=call, refresh=refresh)
