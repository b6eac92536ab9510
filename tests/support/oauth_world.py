"""A token endpoint as RFC 6749 describes it, with rotation and reuse detection, and a world around it."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import unquote_plus

from agent.config.model import (
    Client,
    ClientCredentialsAuth,
    OAuthPasswordAuth,
    RefreshTokenAuth,
    SecretRef,
)
from tests.support.auth_world import PASSWORD, WHERE, World
from tests.support.scripted import Answer

TOKEN = "/oauth/token"
CLIENT_SECRET = "s3cr3t: with/odd+signs & äöü"


def secret(name):
    return SecretRef(kind="secret", name=name, where=WHERE)


class TokenEndpoint:
    """One client, one user; a family of refresh tokens dies when one of them is shown twice."""

    def __init__(self):
        self.client_secret = CLIENT_SECRET
        self.password = PASSWORD
        self.rotates = True
        self.expires_in = 3600
        self.count = 0
        self.families = {}
        """Refresh token → its family; a family maps to the one token that is good, or None when revoked."""
        self.good = {}
        self.shown = []
        """Every refresh token as it was shown, in order."""

    def seed(self, name):
        """A refresh token that some person obtained elsewhere."""
        self.families[name] = name
        self.good[name] = name
        return name

    def answer(self, request):
        if (wrong := self.client(request)) is not None:
            return wrong
        match request.form.get("grant_type"):
            case "password":
                if (request.form["username"], request.form["password"]) != ("fleet", self.password):
                    return self.error("invalid_grant", "Invalid user credentials")
                return self.pair(family=f"family-{self.count}")
            case "client_credentials":
                return self.pair(family="")
            case "refresh_token":
                return self.refresh(request.form["refresh_token"])
        return self.error("unsupported_grant_type", "what is that")

    def client(self, request):
        kind, _, pair = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            identity, _, given = b64decode(pair).decode().partition(":")
            identity, given = unquote_plus(identity), unquote_plus(given)
        else:
            identity, given = request.form.get("client_id"), request.form.get("client_secret")
        if (identity, given) != ("agent:1", self.client_secret):
            return self.error("invalid_client", f"no client {identity} with {given}", status=401)
        return None

    def refresh(self, token):
        self.shown.append(token)
        family = self.families.get(token)
        if family is None or self.good.get(family) != token:
            if family is not None:
                self.good[family] = None  # reuse: everything that came of it is revoked
            return self.error("invalid_grant", "Token is not active")
        return self.pair(family, None if self.rotates else token)

    def pair(self, family, keep=None):
        self.count += 1
        document = {
            "access_token": f"access-{self.count}-aaaaaaaaaaaa",
            "token_type": "Bearer",
            "expires_in": self.expires_in,
        }
        if family and not keep:
            new = f"refresh-{self.count}-rrrrrrrrrrrr"
            self.families[new], self.good[family] = family, new
            document["refresh_token"] = new
        return Answer(200, json=document)

    @staticmethod
    def error(word, description, status=400):
        return Answer(status, json={"error": word, "error_description": description})


class OAuthWorld(World):
    """As `World`, with a token endpoint beside the platform's Auth API."""

    def __init__(self, folder, server, client, clock=None):
        super().__init__(folder, server, client, clock)
        self.endpoint = TokenEndpoint()
        self.secret("client_secret", CLIENT_SECRET)
        self.client_words = Client(id="agent:1", secret=secret("client_secret"))
        server.script(TOKEN, self.endpoint.answer)

    @property
    def url(self):
        return self.server.url + TOKEN

    def oauth_password(self, **more):
        self.auth = OAuthPasswordAuth(
            **{
                "url": self.url,
                "username": secret("user"),
                "password": secret("password"),
                "client": self.client_words,
                **more,
            }
        )

    def client_credentials(self, **more):
        self.auth = ClientCredentialsAuth(**{"url": self.url, "client": self.client_words, **more})

    def refresh_token(self, **more):
        self.auth = RefreshTokenAuth(
            **{"url": self.url, "refresh_token": secret("seed"), "client": self.client_words, **more}
        )

    @property
    def asked(self):
        return self.server.asked(TOKEN)

    def grant_types(self):
        return [request.form["grant_type"] for request in self.asked]
