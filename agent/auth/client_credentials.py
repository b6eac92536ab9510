"""`type: client_credentials`: RFC 6749, section 4.4. Each renewal is the same request anew.

POST {url}   grant_type=client_credentials&scope=…
"""

from __future__ import annotations

from agent.auth.exchange import AuthApi
from agent.auth.grant import Credentials, Posting, Rules
from agent.auth.session import Sealer, Secrets
from agent.config.model import ClientCredentialsAuth
from agent.errors import SecretError

_CHECK = "check `client.id` and the client's secret; a new one is picked up by itself"


class ClientCredentialsGrant(Posting):
    """Speaks the dialect; decides nothing."""

    def __init__(self, auth: ClientCredentialsAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        super().__init__(api, secrets, sealer, auth.dialect.fields.refresh_token)
        self.auth = auth
        # A refresh token SHOULD NOT be in the answer (section 4.4.3); one that is there is not kept.
        self.rules = Rules(renews_by="login", login_limit=auth.login_limit, check=_CHECK)

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""
        auth, dialect, mark = self.auth, self.auth.dialect, self._sealer.mark
        place, person, login = mark(f"place {auth.url}"), "", self._words()
        try:
            login.fields["grant_type"] = "client_credentials"
            client = login.text(auth.client.id)
            person = mark(f"person {(client, auth.scope, auth.audience)!r}")
            login.identify(auth.client, dialect)
            login.ask(scope=auth.scope, audience=auth.audience)
            login.add(dialect.extra)
        except SecretError as error:
            return Credentials(place=place, person=person, mark="", problem=error.message)
        call = login.call(auth.url, dialect)
        return Credentials(place=place, person=person, mark=self._marked(call), login=call)
