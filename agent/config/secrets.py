"""Secrets: references in the config become values only here, only when they are used.

    {secret: NAME}   $CREDENTIALS_DIRECTORY/NAME (systemd), else CONFIG/secrets/NAME
    {env: NAME}      an environment variable
    {file: PATH}     a file; a relative path starts at the config folder

Files that others than their owner may read, or in a folder that others may write to, are refused,
except systemd's credentials, whose folder nobody else can enter. Nothing is cached: a changed secret is
picked up without a restart.
"""

from __future__ import annotations

import dataclasses
import hmac
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from agent.config.model import CommandSource, Connection, Plan, SecretRef, TokenCommandAuth, Where
from agent.config.programs import distrust
from agent.errors import Problem, SecretError
from agent.logs import BLOT, blotter

# A password, a token or a PEM file; larger ones are a wrong path.
_LARGEST = 65_536


class Secret:
    """A secret's value. Nothing shows it but `reveal()`: no repr, no format, no pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({BLOT})"

    def __str__(self) -> str:
        return BLOT

    def __format__(self, spec: str) -> str:
        return format(BLOT, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment] # a set or dict of secrets would outlive its use

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


class SecretStore:
    """Looks references up. `env` is the process's environment unless another one is given."""

    def __init__(self, config_dir: Path, env: Mapping[str, str] | None = None) -> None:
        self._config = config_dir
        self._env = os.environ if env is None else env

    def resolve(self, ref: SecretRef) -> Secret:
        """The value now. Raises SecretError with a hint: missing, empty, or readable by others."""
        text = self._env_value(ref) if ref.kind == "env" else self._file_value(ref)
        value = text.removesuffix("\n").removesuffix("\r")
        if not value.strip():
            raise SecretError(f"the secret {_called(ref)} is empty", hint="put the value into it")
        if not value.isprintable() and any(c in value for c in "\0\r\n") and "-----BEGIN" not in value:
            raise SecretError(
                f"the secret {_called(ref)} has more than one line", hint="keep the first line only"
            )
        blotter.learn(value)
        return Secret(value)

    def _env_value(self, ref: SecretRef) -> str:
        value = self._env.get(ref.name)
        if value is None:
            hint = f"set it where push-agent is started, or use {{secret: {ref.name.lower()}}}"
            raise SecretError(f"the environment variable {ref.name} is not set", hint=hint)
        return value

    def _file_value(self, ref: SecretRef) -> str:
        path, private = self._path(ref)
        try:
            raw = _read(path, check=not private)
        except FileNotFoundError:
            hint = f"write the value into the file {path} and run: chmod 600 {path}"
            raise SecretError(f"the secret {_called(ref)} does not exist", hint=hint) from None
        except OSError as error:
            raise SecretError(f"the secret {_called(ref)} cannot be read: {error.strerror}") from None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretError(f"the secret {_called(ref)} is not UTF-8 text") from None

    def _path(self, ref: SecretRef) -> tuple[Path, bool]:
        """The file, and whether it is one of systemd's credentials."""
        if ref.kind == "file":
            return self._config / ref.name, False
        if "/" in ref.name or "\0" in ref.name or ref.name in {"", ".", ".."}:
            raise SecretError(f"{ref.name!r} is no name of a secret", hint="use {file: PATH} for a path")
        credentials = self._env.get("CREDENTIALS_DIRECTORY")
        if credentials:
            # `LoadCredential=secrets:FOLDER` gives each file of a folder the folder's id as a prefix.
            for name in (ref.name, f"secrets_{ref.name}"):
                if (Path(credentials) / name).exists():
                    return Path(credentials) / name, True
        return self._config / "secrets" / ref.name, False


def _read(path: Path, *, check: bool) -> bytes:
    if check:
        _check_folder(path.parent)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise SecretError(f"the secret file {path} is not a regular file")
        if check and info.st_mode & 0o077:
            raise SecretError(f"the secret file {path} can be read by others", hint=f"run: chmod 600 {path}")
        if check and info.st_uid not in {0, os.geteuid()}:
            hint = f"run: chown $(id -un) {path}"
            raise SecretError(f"the secret file {path} belongs to somebody else", hint=hint)
        if info.st_size > _LARGEST:
            raise SecretError(f"the secret file {path} is larger than {_LARGEST // 1024} KiB")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(_LARGEST + 1)
    finally:
        os.close(handle)


def _check_folder(folder: Path) -> None:
    """Who may write to the folder could have another of our files sent as the secret: by a link."""
    info = folder.stat()
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not info.st_mode & stat.S_ISVTX:
        raise SecretError(
            f"others may write to the folder of secrets {folder}", hint=f"run: chmod go-w {folder}"
        )
    if info.st_uid not in {0, os.geteuid()}:
        hint = f"run: chown $(id -un) {folder}"
        raise SecretError(f"the folder of secrets {folder} belongs to somebody else", hint=hint)


def _called(ref: SecretRef) -> str:
    return f"{{{ref.kind}: {ref.name}}}"


def check_secrets(plan: Plan, store: SecretStore) -> list[Problem]:
    """Every reference without a usable value now, and every program that may not be run.

    Not part of `load`: values come and go.
    """
    sources = (job.source for job in plan.jobs.values())
    found = [
        _problem(source.program, wrong.message, wrong.hint)
        for source in sources
        if isinstance(source, CommandSource) and (wrong := distrust(source.command[0])) is not None
    ]
    for connection in plan.connections.values():
        auth = connection.auth
        if isinstance(auth, TokenCommandAuth) and (wrong := distrust(auth.command[0])) is not None:
            found.append(_problem(auth.where or connection.where, wrong.message, wrong.hint))
    named = [ref for connection in plan.connections.values() for ref in references(connection)]
    for ref in (*named, *_in(plan.databases)):
        try:
            store.resolve(ref)
        except SecretError as error:
            found.append(_problem(ref.where, error.message, error.hint))
    return found


def _problem(where: Where, message: str, hint: str) -> Problem:
    return Problem(
        file=where.file,
        line=where.line,
        column=where.column,
        path=where.path,
        message=message,
        hint=hint,
    )


def references(connection: Connection) -> Iterator[SecretRef]:
    """All secrets that a connection names, in the order of the model."""
    yield from _in(connection.auth)
    yield from _in(connection.proxy)


def _in(value: object) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _in(part)
    elif dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            yield from _in(getattr(value, each.name))
