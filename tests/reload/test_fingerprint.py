"""Which files a look reads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.reload import fingerprint
from agent.reload.fingerprint import Fingerprint, look
from tests.support.config_folder import job_text, make_folder, write


class Looker:
    """Looks again and again, and tells which files were opened."""

    def __init__(self, folder):
        self.folder = folder
        self.opened = []
        self.known = Fingerprint()

    def open(self, path, *flags):
        self.opened.append(Path(path).stem)
        return os.open(path, *flags)

    def look(self, known=None, **options):
        self.opened.clear()
        self.known = look(self.folder, self.known if known is None else known, **options)
        return sorted(self.opened)


@pytest.fixture
def looker(tmp_path, monkeypatch):
    made = Looker(make_folder(tmp_path, "gps", "planning"))
    # as long ago as matters, whatever the file system's clock is like
    monkeypatch.setattr(fingerprint, "_TICK", -3_600_000_000_000)
    proxy = type("Os", (), {"__getattr__": lambda _, name: getattr(os, name), "open": made.open})()
    monkeypatch.setattr(fingerprint, "os", proxy)
    assert made.look() == ["gps", "planning", "stg"]
    return made


def test_what_has_the_same_stamp_is_not_read_again(looker):
    first = looker.known
    assert looker.look() == []
    assert looker.known == first
    assert looker.known.stamps == first.stamps


def test_what_is_new_is_read_again_alone(looker):
    write(looker.folder / "jobs/gps.yaml", job_text("gps", every="5m"))
    first = looker.known
    assert looker.look() == ["gps"]
    assert looker.known != first


def test_the_same_size_and_time_hide_nothing(looker):
    file, first = looker.folder / "jobs/gps.yaml", looker.known
    before = file.stat()
    write(file, job_text("gps", every="20m"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert looker.look() == ["gps"]
    assert looker.known != first


def test_other_rights_are_news(looker):
    first = looker.known
    (looker.folder / "jobs/gps.yaml").chmod(0o664)
    assert looker.look() == ["gps"]
    assert looker.known != first


def test_what_changed_just_now_is_read_again_since_a_second_change_may_bear_the_same_time(
    looker, monkeypatch
):
    monkeypatch.setattr(fingerprint, "_TICK", 3_600_000_000_000)
    write(looker.folder / "jobs/gps.yaml", job_text("gps", every="5m"))
    assert looker.look() == ["gps"]
    assert looker.look() == ["gps"]
    monkeypatch.setattr(fingerprint, "_TICK", -3_600_000_000_000)
    assert looker.look() == ["gps"], "it had not come to rest before"
    assert looker.look() == []


def test_a_look_without_stamps_reads_everything_and_finds_what_they_hid(looker):
    right = looker.known
    files = {**right.files, "jobs/gps.yaml": "another text 0 644"}
    assert looker.look(replace(right, files=files)) == []
    assert looker.known != right
    assert looker.look(looker.known.unstamped()) == ["gps", "planning", "stg"]
    assert looker.known == right


def test_a_second_look_asks_only_after_what_the_first_one_found(looker):
    write(looker.folder / "jobs/gps.yaml", job_text("gps", every="5m"))
    known = looker.known
    looker.look()
    write(looker.folder / "jobs/planning.yaml", job_text("planning", every="5m"))
    (looker.folder / "connections/stg.yaml").unlink()
    write(looker.folder / "jobs/new.yaml", job_text("new"))
    assert looker.look(known, before=looker.known) == ["new"]
    assert set(looker.known.files) == {"jobs/gps.yaml", "jobs/new.yaml", "jobs/planning.yaml"}
    assert looker.look() == ["planning"], "the next one finds what came in between"


def test_a_second_look_at_the_start_reads_only_what_has_not_come_to_rest(looker, monkeypatch):
    assert looker.look(Fingerprint(), before=looker.known) == []
    first = looker.known
    monkeypatch.setattr(fingerprint, "_TICK", 3_600_000_000_000)
    write(looker.folder / "jobs/gps.yaml", job_text("gps", every="5m"))
    assert looker.look(Fingerprint(), before=first) == ["gps"]


def test_a_link_is_read_each_time(looker):
    (looker.folder / "jobs/link.yaml").symlink_to("gps.yaml")
    assert looker.look() == ["link"]
    assert looker.look() == ["link"]


def test_a_file_that_somebody_writes_is_read_each_time(looker):
    with (looker.folder / "jobs/gps.yaml").open("a") as file:
        file.write("# more\n")
        file.flush()
        known = looker.known
        assert looker.look(known) == ["gps"]
        assert looker.known.writing == {"jobs/gps.yaml"}
        assert looker.look(known) == ["gps"]


@pytest.mark.parametrize("place", ["", "jobs", "connections"])
def test_who_may_change_a_folder_is_news_as_its_files_are_trusted_or_not_by_that(looker, place):
    first = looker.known
    (looker.folder / place).chmod(0o775)
    assert looker.look() == []
    assert looker.known != first
    (looker.folder / place).chmod(0o755)
    assert looker.look() == []
    assert looker.known == first
