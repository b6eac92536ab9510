from __future__ import annotations

import copy
import io
import json
import logging
import os
import pickle
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from agent.config import Secret, SecretStore, check_secrets
from agent.config.model import SecretRef, Where
from agent.config.programs import distrust
from agent.errors import SecretError
from agent.logs import get_log, set_up_logs
from tests.support.config_on_disk import ConfigFolder

VALUE = "c4n4ry-geheim-8231"
WHERE = Where(file="connections/x.yaml", line=1, column=1, path="auth.password")


def ref(kind: str, name: str) -> SecretRef:
    return SecretRef(kind=kind, name=name, where=WHERE)


def write(path: Path, text: str = VALUE, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path, {"TOKEN": VALUE})


def test_sec_02_nothing_shows_a_secret_but_reveal():
    secret = Secret(VALUE)

    @dataclass
    class Holder:
        secret: Secret

    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    shown += [repr([secret]), repr({"a": secret}), repr(Holder(secret)), repr(asdict(Holder(secret)))]
    shown += [json.dumps({"a": secret}, default=str), repr(copy.copy(secret)), repr(copy.deepcopy([secret]))]
    for text in shown:
        assert VALUE not in text
    assert secret.reveal() == VALUE
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_are_equal_by_value_and_to_nothing_else():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE
    assert Secret("é") == Secret("é")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_line_end_is_taken_off(store, tmp_path, end):
    write(tmp_path / "secrets" / "password", VALUE + end)
    assert store.resolve(ref("secret", "password")).reveal() == VALUE


def test_systemds_credentials_come_before_the_secrets_folder_and_may_be_readable_by_the_group(tmp_path):
    write(tmp_path / "secrets" / "password", "from-the-folder")
    write(tmp_path / "credentials" / "password", VALUE, 0o440)
    store = SecretStore(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert store.resolve(ref("secret", "password")).reveal() == VALUE
    (tmp_path / "credentials" / "password").unlink()
    assert store.resolve(ref("secret", "password")).reveal() == "from-the-folder"


def test_environment_and_files_relative_to_the_config_folder_or_not(store, tmp_path):
    file = write(tmp_path / "token.txt")
    assert store.resolve(ref("env", "TOKEN")).reveal() == VALUE
    assert store.resolve(ref("file", "token.txt")).reveal() == VALUE
    assert store.resolve(ref("file", str(file))).reveal() == VALUE


def test_a_changed_secret_is_seen_at_once(store, tmp_path):
    file = write(tmp_path / "secrets" / "password")
    assert store.resolve(ref("secret", "password")).reveal() == VALUE
    fresh = write(tmp_path / "secrets" / "new", "another-value")
    fresh.rename(file)
    assert store.resolve(ref("secret", "password")).reveal() == "another-value"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(store, tmp_path, mode):
    file = write(tmp_path / "secrets" / "password", mode=mode)
    for one in (ref("secret", "password"), ref("file", "secrets/password")):
        with pytest.raises(SecretError, match="can be read by others") as caught:
            store.resolve(one)
        assert caught.value.hint == f"run: chmod 600 {file}"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_sec_01_a_secret_in_a_folder_that_others_may_write_to_is_refused(store, tmp_path, mode):
    folder = write(tmp_path / "secrets" / "password").parent
    folder.chmod(mode)
    for one in (ref("secret", "password"), ref("file", "secrets/password")):
        with pytest.raises(SecretError, match="others may write to the folder") as caught:
            store.resolve(one)
        assert caught.value.hint == f"run: chmod go-w {folder}"
    folder.chmod(0o1777)  # there nobody can take away or rename what is not his
    assert store.resolve(ref("secret", "password")).reveal() == VALUE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_sec_01_a_secret_in_a_folder_of_somebody_else_is_refused(store, tmp_path):
    os.chown(write(tmp_path / "secrets" / "password").parent, 12345, 12345)
    with pytest.raises(SecretError, match="folder of secrets"):
        store.resolve(ref("secret", "password"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(store, tmp_path):
    os.chown(write(tmp_path / "secrets" / "password"), 12345, 12345)
    with pytest.raises(SecretError, match="belongs to somebody else"):
        store.resolve(ref("secret", "password"))


@pytest.mark.parametrize("name", ["../password", "a/b", "..", ".", "", "a\0b"])
def test_the_name_of_a_secret_cannot_leave_its_folder(store, name):
    with pytest.raises(SecretError, match="is no name of a secret"):
        store.resolve(ref("secret", name))


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_an_empty_secret_is_an_error(store, tmp_path, text):
    write(tmp_path / "secrets" / "password", text)
    with pytest.raises(SecretError, match="is empty"):
        store.resolve(ref("secret", "password"))


def test_what_is_missing_or_no_file_or_no_text_is_an_error_with_words(store, tmp_path):
    with pytest.raises(SecretError, match="does not exist") as caught:
        store.resolve(ref("secret", "password"))
    assert "chmod 600" in caught.value.hint
    with pytest.raises(SecretError, match="TOKN is not set"):
        store.resolve(ref("env", "TOKN"))
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(SecretError, match="not a regular file"):
        store.resolve(ref("file", "folder"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretError, match="not a regular file"):
        store.resolve(ref("file", "pipe"))
    with pytest.raises(SecretError, match="cannot be read"):
        store.resolve(ref("file", "token.txt/x" if write(tmp_path / "token.txt") else ""))
    (tmp_path / "latin").write_bytes(b"g\xe9heim")
    (tmp_path / "latin").chmod(0o600)
    with pytest.raises(SecretError, match="not UTF-8"):
        store.resolve(ref("file", "latin"))
    write(tmp_path / "large", "x" * 70_000)
    with pytest.raises(SecretError, match="larger than 64 KiB"):
        store.resolve(ref("file", "large"))
    write(tmp_path / "lines", "one\ntwo\n")
    with pytest.raises(SecretError, match="more than one line"):
        store.resolve(ref("file", "lines"))


def test_no_error_of_a_secret_shows_its_value(store, tmp_path):
    write(tmp_path / "secrets" / "password", mode=0o644)
    with pytest.raises(SecretError) as caught:
        store.resolve(ref("secret", "password"))
    assert VALUE not in "".join(traceback.format_exception(caught.value)) + caught.value.hint


def test_a_secret_that_was_read_is_blotted_out_of_the_log(store):
    value = store.resolve(ref("env", "TOKEN")).reveal()
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        set_up_logs("info", "json", stream=stream)
        get_log("test").info("oops", leaked=value)
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert VALUE not in stream.getvalue()
    assert "oops" in stream.getvalue()


def test_check_secrets_names_the_place_of_each_reference_without_a_value(config: ConfigFolder):
    config.connection()
    config.put(
        "connections/p.yaml",
        "connection: p\ntype: http\nauth:\n  type: password\n  url: https://a.example.com\n"
        "  username: {secret: user}\n  password: {env: NO_SUCH}\n",
    )
    config.put(
        "connections/b.yaml",
        "connection: b\ntype: http\nauth: {type: basic, username: u, password: {file: f}}\n",
    )
    plan = config.load().plan
    problems = check_secrets(plan, SecretStore(config.path.absolute(), {}))
    assert sorted((p.file, p.line, p.path) for p in problems) == [
        ("connections/b.yaml", 3, "auth.password"),
        ("connections/p.yaml", 6, "auth.username"),
        ("connections/p.yaml", 7, "auth.password"),
        ("connections/stg.yaml", 4, "auth.token"),
    ]
    for name in ("user", "token", "f"):
        write(config.path / "secrets" / name)
    write(config.path / "f")
    assert not check_secrets(plan, SecretStore(config.path.absolute(), {"NO_SUCH": VALUE}))


def test_check_secrets_names_a_program_that_others_may_change(config: ConfigFolder, tmp_path):
    config.connection()
    program = tmp_path / "get-token"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o775)
    config.put(
        "connections/c.yaml",
        f"connection: c\ntype: http\nauth:\n  type: token_command\n  command: [{program}]\n",
    )
    store = SecretStore(config.path.absolute(), {})
    write(config.path / "secrets" / "token")
    (problem,) = check_secrets(config.load().plan, store)
    assert (problem.file, problem.line, problem.path) == ("connections/c.yaml", 5, "auth.command[0]")
    assert problem.message == f"others may write to {program}, so the command cannot be trusted"
    assert problem.hint == f"run: chmod go-w {program}"
    program.chmod(0o755)
    assert check_secrets(config.load().plan, store) == []


def test_check_secrets_names_a_source_whose_program_is_not_there(config: ConfigFolder, tmp_path):
    config.connection()
    program = tmp_path / "export"
    config.put("agent.yaml", f"commands: {{allow: [{program}]}}\n")
    config.put(
        "jobs/c.yaml",
        f"job: c\nschedule: {{every: 1h}}\nsource: {{type: command, command: [{program}]}}\n"
        "body: {format: json}\ntarget: {connection: stg, endpoint: planning}\n",
    )
    loaded = config.load()
    assert not loaded.problems
    problems = check_secrets(loaded.plan, SecretStore(config.path.absolute(), {}))
    assert [(one.path, one.message) for one in problems if one.file == "jobs/c.yaml"] == [
        ("source.command[0]", f"there is no program {program}")
    ]


def test_a_program_is_judged_by_what_a_link_leads_to(tmp_path):
    (tmp_path / "real").mkdir()
    program = tmp_path / "real" / "get-token"
    program.write_text("#!/bin/sh\n")
    link = tmp_path / "link"
    link.symlink_to(program)
    program.chmod(0o644)
    assert distrust(str(link)) == (f"{link} may not be run by this user", f"run: chmod +x {link}")
    program.chmod(0o755)
    assert distrust(str(link)) is None
    (tmp_path / "real").chmod(0o1777)  # in the folder itself the sticky bit does not help: new files come in
    assert distrust(str(link)) is not None
    assert distrust(str(tmp_path)) == (
        f"{tmp_path} is not a regular file",
        "write the whole path of a program",
    )
    assert distrust(str(tmp_path / "none")) is not None


def test_a_folder_of_systemd_credentials_is_found_by_its_prefixed_names(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "secrets_platform").write_text("from-the-folder")
    store = SecretStore(tmp_path, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert store.resolve(ref("secret", "platform")).reveal() == "from-the-folder"
