"""Tokens rest encrypted: AES-256-GCM with a key that lies beside the state, or in systemd's credentials."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from agent.auth.session import VaultError
from agent.errors import StateError
from agent.logs import get_log

_CREDENTIAL = "push-agent-key"
_MIN_KEY = 16
"""Bytes; less is a damaged file, not a key."""
_MAX_KEY = 4096
_NONCE = 12
"""Bytes; what AES-GCM is made for (NIST SP 800-38D, section 8.2)."""
_VERSION = b"\x01"

log = get_log("vault")


class Vault:
    """Seals, opens and marks with one key. Cheap: no I/O after it was opened."""

    def __init__(self, key: bytes) -> None:
        # Two keys out of one, so that a mark tells nothing about the seal.
        self._sealing = hmac.digest(key, b"push-agent seal 1", "sha256")
        self._marking = hmac.digest(key, b"push-agent mark 1", "sha256")

    def __repr__(self) -> str:
        return "Vault(********)"

    def seal(self, text: bytes, context: str) -> bytes:
        """Encrypt; only the same context (the connection's name) opens it again."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 20 ms, seldom needed

        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + nonce + AESGCM(self._sealing).encrypt(nonce, text, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt. Raises VaultError when this was not sealed with this key and context."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE:
            raise VaultError("not sealed by this agent, or damaged")
        try:
            return AESGCM(self._sealing).decrypt(nonce, rest, context.encode())
        except InvalidTag:
            raise VaultError("sealed with another key, or damaged") from None

    def mark(self, secret: str) -> str:
        """A keyed fingerprint (HMAC-SHA-256, shortened) to see that a secret changed."""
        return hmac.new(self._marking, secret.encode(), hashlib.sha256).hexdigest()[:32]


def open_vault(state: Path, *, credentials: Path | None = None) -> Vault:
    """The vault of a state folder. Blocking.

    The key is `push-agent-key` in `credentials` (`$CREDENTIALS_DIRECTORY`), else `STATE/key`, which is made
    at the first start: complete or not at all, readable by the owner alone.
    Raises StateError when a key cannot be read, made, or belongs to somebody else.
    """
    if credentials is not None and (given := credentials / _CREDENTIAL).exists():
        key = _read(given)
        if len(key) < _MIN_KEY:
            raise StateError(f"{given} has {len(key)} bytes", hint=f"a key has at least {_MIN_KEY} bytes")
        return Vault(key)
    path = state / "key"
    try:
        key = _read_private(path)
        if len(key) < _MIN_KEY:
            log.error("the key file is damaged: a new one is made, sessions sign in again", file=str(path))
            path.replace(path.with_name("key.bad"))
            key = _make(path)
    except FileNotFoundError:
        key = _make(path)
    return Vault(key)


def _read_private(path: Path) -> bytes:
    """The key, after its file was made private where it was not. Raises FileNotFoundError, StateError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise StateError(f"{path} belongs to user {status.st_uid}", hint=f"chown it to user {os.geteuid()}")
    if status.st_mode & 0o077:
        log.warning("the key file could be read by others: repaired; replace it if they did", file=str(path))
        path.chmod(0o600)
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error


def _make(path: Path) -> bytes:
    """Write, sync, then link into place: whoever comes second takes the key of the first."""
    new = path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}.new")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(handle, secrets.token_bytes(32))
            os.fsync(handle)
        finally:
            os.close(handle)
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StateError(f"no key could be made in {path.parent}: {error.strerror}") from error
    return _read(path)
