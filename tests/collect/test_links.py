"""Links in folders that others may write to: they lead neither to a secret nor out of the folder."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config.model import Files
from agent.errors import SourceError
from agent.moving import move_aside
from agent.sources import links
from agent.sources.files import SourceFile, list_files, opened, stamp_of

STRANGER = 54_321

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


def of_stranger(path: Path) -> Path:
    os.lchown(path, STRANGER, STRANGER)
    return path


def listed(pattern: Path) -> list[SourceFile]:
    return list(list_files(Files(paths=(str(pattern),), settle=timedelta(0)), SystemClock()).files)


def read(path: Path) -> bytes:
    stamp = stamp_of(path)
    assert stamp is not None
    with opened(SourceFile(path=path, stamp=stamp)) as descriptor:
        return os.read(descriptor, 100)


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.csv").write_text("canary")
    return folder


@as_root
@pytest.mark.parametrize("way", ["file", "folder", "both"])
def test_sec_10_11_a_link_of_somebody_else_reaches_nothing_of_ours(inbox, tmp_path, way):
    secret = tmp_path / "private" / "secret.csv"
    if way == "file":
        (inbox / "a.csv").symlink_to(secret)
        dropped = of_stranger(inbox / "a.csv")
    else:
        (inbox / "sub").symlink_to(secret.parent if way == "folder" else "other")
        of_stranger(inbox / "sub")
        if way == "both":
            (inbox / "other").symlink_to(secret.parent)
        dropped = inbox / "sub" / "secret.csv"
    with pytest.raises(SourceError, match="a link that somebody else made"):
        read(dropped)


@as_root
def test_sec_10_a_link_to_what_its_maker_owns_is_read(inbox):
    of_stranger(inbox).joinpath("own.csv").write_text("x")
    of_stranger(inbox / "own.csv")
    (inbox / "link.csv").symlink_to("own.csv")
    assert read(of_stranger(inbox / "link.csv")) == b"x"


def test_sec_10_links_of_our_own_are_read(inbox, tmp_path):
    (inbox / "a.csv").symlink_to("../private/../private/secret.csv")
    (tmp_path / "way").symlink_to(inbox)
    assert read(tmp_path / "way" / "a.csv") == b"canary"


def test_a_circle_of_links_ends(inbox):
    (inbox / "a").symlink_to("b")
    (inbox / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        links.open_file(inbox / "a" / "x")


def test_two_links_to_their_own_folder_give_each_file_once(inbox):
    (inbox / "a").symlink_to(".")
    (inbox / "b").symlink_to(".")
    (inbox / "sub").mkdir()
    for name in ("x.csv", "sub/y.csv", "sub/.hidden.csv"):
        (inbox / name).write_text("1")
    found = [str(file.path.relative_to(inbox)) for file in listed(inbox / "**" / "*.csv")]
    assert sorted(found) == ["sub/y.csv", "x.csv"]
    assert {file.path.name for file in listed(inbox / "**")} == {"x.csv", "y.csv"}


@as_root
def test_sec_10_nothing_is_moved_through_a_link_of_somebody_else(inbox, tmp_path):
    (inbox / "a.csv").write_text("1")
    (inbox / "done").symlink_to(tmp_path / "private")
    of_stranger(inbox / "done")
    stamp = stamp_of(inbox / "a.csv")
    with pytest.raises(PermissionError, match="a link that somebody else made"):
        move_aside(inbox / "a.csv", "done/", stamp)
    assert (inbox / "a.csv").exists()
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["secret.csv"]


def test_sec_10_the_note_of_a_failed_file_is_not_written_through_a_link(inbox, tmp_path):
    (inbox / "a.csv").write_text("1")
    (inbox / "failed").mkdir()
    (inbox / "failed" / ".a.csv.why.json.part").symlink_to(tmp_path / "private" / "secret.csv")
    stamp = stamp_of(inbox / "a.csv")
    place, note = move_aside(inbox / "a.csv", "failed/", stamp, note=lambda: {"reason": "bad"})
    assert (place, note) == (inbox / "failed" / "a.csv", "")
    assert json.loads((inbox / "failed" / "a.csv.why.json").read_text()) == {"reason": "bad"}
    assert (tmp_path / "private" / "secret.csv").read_text() == "canary"


def test_a_relative_link_is_put_aside_as_the_link_it_is(inbox):
    (inbox / "real").write_text("1")
    (inbox / "a.csv").symlink_to("real")
    place, _ = move_aside(inbox / "a.csv", "done/", stamp_of(inbox / "a.csv"))
    assert place == inbox / "done" / "a.csv"
    assert place.is_symlink()
    assert (inbox / "real").exists()
