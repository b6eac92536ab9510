"""`type: refresh_token`: RFC 6749, section 6, from a refresh token that somebody else obtained: the seed.

    POST {url}   grant_type=refresh_token&refresh_token=…&scope=…

A server that rotates takes the seed once, and may revoke everything when it sees it again. So whether a seed
is spent is remembered on disk, and only another one in the secret is ever tried after it.
"""

from __future__ import annotations

from agent.auth.exchange import AuthApi, Exchange
from agent.auth.grant import Credentials, Posting, Rules
from agent.auth.session import Sealer, Secrets
from agent.config.model import RefreshTokenAuth
from agent.errors import SecretError


class RefreshTokenGrant(Posting):
    """Speaks the dialect; decides nothing."""

    def __init__(self, auth: RefreshTokenAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        super().__init__(api, secrets, sealer, auth.dialect.fields.refresh_token)
        self.auth = auth
        self.rules = Rules(renews_by="seed", dead_on=auth.login_again_on)

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""
        auth, dialect = self.auth, self.auth.dialect
        place, renewal = self._sealer.mark(f"place {auth.url}"), self._words()
        refresh, seed, problem = None, "", ""
        try:
            renewal.fields["grant_type"] = "refresh_token"
            renewal.identify(auth.client, dialect)
            renewal.ask(scope=auth.scope)
            renewal.add(dialect.extra)
            refresh = renewal.call(auth.url, dialect)
            seed = renewal.text(auth.refresh_token)
        except SecretError as error:
            problem = error.message
        # Whose token it is, only the server knows; another client or scope does not make ours another one.
        mark = self._marked(refresh) if refresh is not None else ""
        return Credentials(place=place, person="", mark=mark, refresh=refresh, seed=seed, problem=problem)

    async def login(self, who: Credentials) -> Exchange:
        """There is none: a renewal never asks for it."""
        raise AssertionError(who)
