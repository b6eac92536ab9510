from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.auth.session import VaultError
from agent.auth.vault import Vault, open_vault
from agent.errors import StateError


def test_what_is_sealed_opens_with_the_same_key_and_context_only(tmp_path):
    vault = open_vault(tmp_path)
    sealed = vault.seal(b"the pair", "p")
    assert b"the pair" not in sealed
    assert vault.seal(b"the pair", "p") != sealed
    assert open_vault(tmp_path).open(sealed, "p") == b"the pair"
    for wrong in (sealed[:-1], sealed[:5], b"", b"\x02" + sealed[1:], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(VaultError):
            vault.open(wrong, "p")
    with pytest.raises(VaultError):
        vault.open(sealed, "q")
    with pytest.raises(VaultError):
        Vault(b"another key 1234").open(sealed, "p")


def test_a_mark_tells_a_change_and_needs_the_key(tmp_path):
    vault = open_vault(tmp_path)
    assert vault.mark("secret") == open_vault(tmp_path).mark("secret") != vault.mark("Secret")
    assert vault.mark("secret") != Vault(b"another key 1234").mark("secret")
    assert "key" not in repr(vault)


def test_the_key_is_made_once_private_and_whole(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        marks = list(pool.map(lambda _: open_vault(tmp_path).mark("x"), range(16)))
    assert len(set(marks)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_auth_40_a_key_that_others_can_read_is_repaired_and_told(tmp_path, caplog):
    before = open_vault(tmp_path).mark("x")
    (tmp_path / "key").chmod(0o644)
    assert open_vault(tmp_path).mark("x") == before
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text


def test_auth_40_a_key_of_somebody_else_is_refused(tmp_path, monkeypatch):
    open_vault(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(StateError, match="belongs to user"):
        open_vault(tmp_path)


def test_auth_40_a_link_in_place_of_the_key_is_refused(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"k" * 32)
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="not a regular file"):
        open_vault(tmp_path)


def test_auth_38_a_damaged_key_is_set_aside(tmp_path, caplog):
    (tmp_path / "key").write_bytes(b"")
    (tmp_path / "key").chmod(0o600)
    open_vault(tmp_path)
    assert (tmp_path / "key.bad").exists()
    assert (tmp_path / "key").stat().st_size == 32
    assert "damaged" in caplog.text


def test_a_key_from_systemd_is_taken_first(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "push-agent-key").write_bytes(b"from systemd 123456")
    vault = open_vault(tmp_path, credentials=credentials)
    assert vault.mark("x") == Vault(b"from systemd 123456").mark("x")
    assert not (tmp_path / "key").exists()
    (credentials / "push-agent-key").write_bytes(b"short")
    with pytest.raises(StateError, match="5 bytes"):
        open_vault(tmp_path, credentials=credentials)


def test_a_state_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StateError, match="no key could be made"):
        open_vault(tmp_path / "nowhere")
