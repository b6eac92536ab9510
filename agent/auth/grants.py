"""Every way to get tokens that are renewed, by its config: one file each, listed here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from agent.auth.client_credentials import ClientCredentialsGrant
from agent.auth.exchange import AuthApi
from agent.auth.grant import Grant
from agent.auth.oauth_password import OAuthPasswordGrant
from agent.auth.password import PasswordGrant
from agent.auth.refresh_token import RefreshTokenGrant
from agent.auth.session import Sealer, Secrets
from agent.auth.token_command import TokenCommandGrant
from agent.config.model import (
    ClientCredentialsAuth,
    OAuthPasswordAuth,
    PasswordAuth,
    RefreshTokenAuth,
    TokenCommandAuth,
)

_Make: TypeAlias = "Callable[[Any, AuthApi, Secrets, Sealer], Grant]"

GRANTS: Final[Mapping[type, _Make]] = {
    PasswordAuth: PasswordGrant,
    OAuthPasswordAuth: OAuthPasswordGrant,
    ClientCredentialsAuth: ClientCredentialsGrant,
    RefreshTokenAuth: RefreshTokenGrant,
    TokenCommandAuth: TokenCommandGrant,
}
