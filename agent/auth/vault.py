"""Tokens rest encrypted: AES-256-GCM with a key that lies beside the state, or in systemd's credentials.

There may be two keys for a while: the one that seals, and the one before, which still opens. Fingerprints
of secrets are keyed with something that outlives both, so that a new key does not look like new secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from agent.auth import keyfile
from agent.auth.session import VaultError
from agent.errors import StateError, UsageError
from agent.logs import get_log

_NONCE = 12
"""Bytes; what AES-GCM is made for (NIST SP 800-38D, section 8.2)."""
_VERSION = b"\x01"
_MARKS = "marks of secrets"
"""The context in which the key of the fingerprints is sealed; no connection can have this name."""

log = get_log("vault")


class Vault:
    """Seals, opens and marks. Cheap: no I/O after it was opened."""

    def __init__(self, key: bytes, *, old: bytes | None = None, marking: bytes | None = None) -> None:
        # Two keys out of one, so that a mark tells nothing about the seal.
        self._sealing: tuple[bytes, ...] = (_sealing(key), *([_sealing(old)] if old else []))
        self._marking = marking or hmac.digest(old or key, b"push-agent mark 1", "sha256")

    def __repr__(self) -> str:
        return "Vault(********)"

    def seal(self, text: bytes, context: str) -> bytes:
        """Encrypt; only the same context (the connection's name) opens it again."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 20 ms, seldom needed

        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + nonce + AESGCM(self._sealing[0]).encrypt(nonce, text, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt. Raises VaultError when this was not sealed with a key of ours and this context."""
        return self._opened(sealed, context)[1]

    def reseal(self, sealed: bytes, context: str) -> bytes:
        """The same under the newest key: what has that key already, or opens with none, is given back."""
        try:
            age, text = self._opened(sealed, context)
        except VaultError:
            return sealed
        return self.seal(text, context) if age else sealed

    def mark(self, secret: str) -> str:
        """A keyed fingerprint (HMAC-SHA-256, shortened) to see that a secret changed."""
        return hmac.new(self._marking, secret.encode(), hashlib.sha256).hexdigest()[:32]

    def turn(self, key: bytes) -> None:
        """Seal with `key` from now on; what the key until now has sealed still opens."""
        # All of them, since sessions hold rows in memory that were sealed whole changes ago.
        self._sealing = (_sealing(key), *self._sealing)

    def seals_with(self, key: bytes) -> bool:
        """Whether `key` is the newest one."""
        return hmac.compare_digest(self._sealing[0], _sealing(key))

    @property
    def has_old(self) -> bool:
        """Whether there is a key before, with which something may be sealed."""
        return len(self._sealing) > 1

    def sealed_marks(self) -> bytes:
        """What fingerprints are keyed with, under the newest key."""
        return self.seal(self._marking, _MARKS)

    def adopt_marks(self, sealed: bytes) -> None:
        """Key fingerprints as before. Raises VaultError."""
        self._marking = self.open(sealed, _MARKS)

    def _opened(self, sealed: bytes, context: str) -> tuple[int, bytes]:
        """Which key (0: the newest) it was sealed with, and what it says."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE:
            raise VaultError("not sealed by this agent, or damaged")
        for age, key in enumerate(self._sealing):
            try:
                return age, AESGCM(key).decrypt(nonce, rest, context.encode())
            except InvalidTag:
                continue
        raise VaultError("sealed with another key, or damaged")


def open_vault(state: Path, *, credentials: Path | None = None) -> Vault:
    """The vault of a state folder. Blocking.

    The key is `push-agent-key` in `credentials` (`$CREDENTIALS_DIRECTORY`), else `STATE/key`; the one before
    is `push-agent-key-old` or `STATE/key.old`.
    Raises StateError when a key cannot be read, made, or belongs to somebody else.
    """
    given = keyfile.given_key(credentials, keyfile.CREDENTIAL) if credentials is not None else None
    if credentials is not None and given is not None:
        vault = Vault(given, old=keyfile.given_key(credentials, keyfile.CREDENTIAL_OLD))
    else:
        vault = Vault(keyfile.own_key(state), old=keyfile.old_key(state))
    marks = keyfile.read_marks(state)
    if marks is None:
        return vault
    try:
        vault.adopt_marks(marks)
    except VaultError as error:
        hint = "sessions sign in once more; keep the key with the state"
        log.error("the state was made with another key", file=keyfile.MARKS, reason=str(error), hint=hint)
        keyfile.set_marks_aside(state)
    return vault


def begin_rekey(state: Path, vault: Vault, *, credentials: Path | None = None) -> bytes:
    """The new key, in place and durable; it is for `Vault.turn`. Blocking. Raises StateError, UsageError.

    From here until `end_rekey` the key before lies beside it.
    """
    if _is_given(credentials):
        raise UsageError(
            f"the key comes from systemd's credentials ({keyfile.CREDENTIAL})",
            hint=f"give the new key as {keyfile.CREDENTIAL} and the one before as {keyfile.CREDENTIAL_OLD}, "
            "and restart the service (docs/INSTALL.md)",
        )
    # Were they keyed with what is derived from the key, a new key would look like new secrets.
    keyfile.write_marks(state, vault.sealed_marks())
    return keyfile.change_key(state)


def is_unfinished(state: Path, *, credentials: Path | None = None) -> bool:
    """Whether a change of the key was begun and `end_rekey` never came. Blocking. Raises StateError."""
    return not _is_given(credentials) and (state / keyfile.OLD).exists()


def key_in_place(state: Path) -> bytes:
    """The key that the next start will read. Blocking. Raises StateError."""
    return keyfile.own_key(state)


def end_rekey(state: Path, vault: Vault, *, credentials: Path | None = None) -> None:
    """Everything else is sealed anew: so are the marks, and the old key goes. Blocking. Raises StateError."""
    given = _is_given(credentials)
    if not given and not vault.seals_with(key_in_place(state)):
        # What it seals opens with the old key only.
        raise StateError(
            f"the key in {state} was changed under the agent: the old key stays",
            hint="run push-agent auth rekey again",
        )
    keyfile.write_marks(state, vault.sealed_marks())
    if not given:
        keyfile.drop_old_key(state)


def _is_given(credentials: Path | None) -> bool:
    return credentials is not None and keyfile.given_key(credentials, keyfile.CREDENTIAL) is not None


def _sealing(key: bytes) -> bytes:
    return hmac.digest(key, b"push-agent seal 1", "sha256")
