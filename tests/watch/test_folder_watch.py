"""Real inotify, waited for by conditions with a deadline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.watch import FolderWatch
from tests.support.schedules import until

ROOT = Path(__file__).parents[2]


class Heard:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1

    async def after(self, what):
        """Do something and wait until it was heard."""
        before = self.calls
        what()
        await until(lambda: self.calls > before)


@pytest.fixture
async def watch():
    made = FolderWatch(SystemClock(), check=0.2, rescan=3600)
    await made.start()
    yield made
    await made.close()
    assert not [thread for thread in threading.enumerate() if "notify" in type(thread).__name__.lower()]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    return made


async def settled(watch, *folders, **options):
    """A user who has heard that the watch is there."""
    heard = Heard()
    subscription = watch.add(folders, heard, **options)
    await until(lambda: heard.calls >= len(folders))
    return heard, subscription


async def test_it_calls_once_at_first_and_then_for_changes(watch, folder):
    heard, _ = await settled(watch, folder)
    await heard.after(lambda: (folder / "a").write_text("x"))
    await heard.after(lambda: (folder / "a").rename(folder / "b"))
    await heard.after((folder / "b").unlink)


async def test_reading_is_no_change(watch, folder):
    (folder / "a").write_text("x")
    heard, _ = await settled(watch, folder)
    before = heard.calls
    (folder / "a").read_text()
    await heard.after(lambda: (folder / "b").write_text("x"))
    assert heard.calls == before + 1


async def test_a_symlinked_root_is_watched_where_it_leads_to(watch, folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    heard, _ = await settled(watch, link)
    await heard.after(lambda: (folder / "a").write_text("x"))


async def test_a_symlink_that_is_pointed_elsewhere_is_followed(watch, folder, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    other.mkdir()
    link.symlink_to(folder)
    heard, _ = await settled(watch, link)

    def swap():
        (tmp_path / "new").symlink_to(other)
        (tmp_path / "new").rename(link)

    await heard.after(swap)
    await heard.after(lambda: (other / "a").write_text("x"))


async def test_yml_10_a_folder_deleted_and_made_anew_is_watched_again(watch, folder):
    heard, _ = await settled(watch, folder)
    await heard.after(lambda: shutil.rmtree(folder))
    await heard.after(folder.mkdir)
    await heard.after(lambda: (folder / "a").write_text("x"))


async def test_yml_10_a_folder_renamed_away_is_not_watched_at_its_old_inode(watch, folder, tmp_path):
    heard, _ = await settled(watch, folder)

    def replace():
        folder.rename(tmp_path / "away")
        folder.mkdir()

    await heard.after(replace)
    await heard.after(lambda: (folder / "a").write_text("x"))


async def test_a_folder_that_is_not_there_yet_is_watched_when_it_comes(watch, tmp_path):
    heard = Heard()
    watch.add([tmp_path / "x" / "y"], heard)
    await heard.after(lambda: (tmp_path / "x" / "y").mkdir(parents=True))
    await heard.after(lambda: (tmp_path / "x" / "y" / "a").write_text("x"))


async def test_recursive_hears_of_folders_in_folders(watch, folder):
    (folder / "in").mkdir()
    heard, _ = await settled(watch, folder, recursive=True)
    await heard.after(lambda: (folder / "in" / "a").write_text("x"))


async def test_users_share_a_watch_and_leave_one_by_one(watch, folder):
    one, first = await settled(watch, folder)
    two, _ = await settled(watch, folder, folder.parent)
    await two.after(lambda: (folder / "a").write_text("x"))
    await until(lambda: one.calls >= 2)
    calls = one.calls
    first.close()
    await two.after(lambda: (folder / "b").write_text("x"))
    await two.after(lambda: (folder / "c").write_text("x"))
    assert one.calls == calls


async def test_a_listing_that_changed_is_told_when_events_were_lost(folder):
    watch = FolderWatch(SystemClock(), check=0.1, rescan=0.1, poll=0.1)
    await watch.start()
    heard, _ = await settled(watch, folder)
    watch._observers.close()  # no events any more
    await heard.after(lambda: (folder / "a").write_text("x"))
    await watch.close()


async def test_yml_15_ten_thousand_touches_are_few_calls(watch, folder):
    heard, _ = await settled(watch, folder)
    for number in range(10_000):
        (folder / f"f{number % 50}").touch()
    await until(lambda: heard.calls >= 2)
    await heard.after((folder / "last").touch)
    assert heard.calls < 100


POLLED = """
import asyncio, pathlib, sys
from agent.clock import SystemClock
from agent.logs import set_up_logs
from agent.watch import FolderWatch

async def main(folder):
    set_up_logs("info", "text")
    heard = asyncio.Event()
    watch = FolderWatch(SystemClock(), check=0.1, poll=0.1)
    await watch.start()
    watch.add([folder], heard.set)
    await asyncio.wait_for(heard.wait(), 10)
    heard.clear()
    (folder / "a").write_text("x")
    await asyncio.wait_for(heard.wait(), 10)
    print("polling", watch.polling)
    await watch.close()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_yml_15_without_inotify_watches_it_falls_back_to_polling(folder):
    limit = "echo 0 > /proc/sys/user/max_inotify_watches"
    if subprocess.run(["unshare", "-Ur", "sh", "-c", limit], check=False, capture_output=True).returncode:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("user namespaces are not allowed here, so the limit cannot be set for one process")
    command = ["unshare", "-Ur", "sh", "-c", f'{limit}; exec "$0" "$@"', sys.executable, "-c", POLLED]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "polling True\n", done.stderr
    assert done.stderr.count("the limit of inotify is reached") == 1


async def test_res_03_more_folders_than_threads_may_be_taken_for_are_polled_and_heard_all_the_same(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("agent.watch.roots.MOST_WATCHED", 4)
    folders = [tmp_path / str(number) / "in" for number in range(6)]
    for folder in folders:
        folder.mkdir(parents=True)
    watch = FolderWatch(SystemClock(), check=0.2, poll=0.05, rescan=3600)
    await watch.start()
    heard = [Heard() for _ in folders]
    for folder, one in zip(folders, heard, strict=True):
        watch.add([folder], one)
    await until(lambda: all(one.calls for one in heard))
    for folder, one in zip(folders, heard, strict=True):
        await one.after((folder / "a").touch)
    assert watch.polling
    assert caplog.text.count("too many folders to watch") == 1
    await watch.close()
