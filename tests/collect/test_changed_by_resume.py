"""`only: {changed_by: …}` over kills, stops and changes in the middle: no change lost, nothing sent twice."""

from __future__ import annotations

import json
import os
import random
import signal
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.spool import Spool
from tests.support.collecting import Place, keyed_job, run_child
from tests.support.rendering import tree

KEYS = 3000


def version(number: int) -> dict[int, int]:
    """Key → value, of the file with this number: some change, some come, some go, some go back."""
    dice = random.Random(number)
    present = [key for key in range(KEYS) if dice.random() < 0.9]
    return {key: dice.randint(0, 2) for key in present}


def write(path, rows: dict[int, int], at: int) -> None:
    path.write_text("id,v\n" + "".join(f"{key},{value}\n" for key, value in rows.items()))
    os.utime(path, (at, at))


def expected(versions: list[dict[int, int]], deleted: str) -> list[tuple[str, str | None]]:
    """What is sent of these files, one after the other."""
    known: dict[int, int] = {}
    out: list[tuple[str, str | None]] = []
    for rows in versions:
        out += [(str(key), str(value)) for key, value in rows.items() if known.get(key) != value]
        if deleted == "send":
            gone = [key for key in known if key not in rows]
            out += [(str(key), None) for key in sorted(gone)]
            known = {key: value for key, value in known.items() if key in rows}
        known |= rows
    return out


def told(bodies: list[bytes]) -> list[tuple[str, str | None]]:
    return [(one["id"], one.get("v")) for body in bodies for one in json.loads(body)]


@pytest.mark.parametrize(
    "options",
    [
        {"on_bad_row": on_bad_row, "deleted": deleted}
        for on_bad_row in ("fail", "dead_letter")
        for deleted in ("ignore", "send")
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_del_01_02_03_a_kill_at_any_moment_loses_no_change_and_sends_none_twice(
    place, inbox, tmp_path, seed, options
):
    versions = [version(number) for number in range(3)]
    for number, rows in enumerate(versions):
        write(inbox / f"{number}.csv", rows, 1_700_000_000 + number)
    place.spool.close()
    state = tmp_path / "state"
    dice = random.Random(f"{seed} {options}")
    # two kills: after a third one in a row the job would be locked up
    for moment in (dice.randint(60, 400), f"fsync:{dice.randint(1, 6)}"):
        died = run_child(state, inbox / "*.csv", moment, job=keyed_job, **options)
        assert died.returncode in {-signal.SIGKILL, 0}, died.stderr
    last = run_child(state, inbox / "*.csv", job=keyed_job, **options)
    assert last.stdout.startswith("done"), last.stdout + last.stderr
    spool = Spool.open(state, max_bytes=10**9, clock=SystemClock())
    assert told(Place(spool, tmp_path).visible()) == expected(versions, options["deleted"])
    assert len(list((state / "seen" / "j").iterdir())) == 1
    spool.close()


def in_part(place, job):
    """A run that is stopped when some of the file has left already; how many records that were."""
    last = max(
        (message.id for message in place.spool.oldest("j", 0, limit=10**6, max_bytes=10**9).result()),
        default=0,
    )
    place.stopped = lambda: bool(place.spool.oldest("j", 0, after=last, limit=1).result())
    result = place.run(job)
    place.stopped = lambda: False
    assert result.state == "stopped"
    assert 0 < result.records < 20_000
    return result.records


@pytest.fixture
def streaming(place, inbox):
    """A job whose records leave while the file is read, and its file."""
    return keyed_job("csv", inbox / "a.csv", on_bad_row="dead_letter"), inbox / "a.csv"


def many(value: str) -> str:
    return "id,v\n" + "".join(f"{key},{value}\n" for key in range(20_000))


def test_what_left_before_the_file_changed_back_is_sent_again(place, streaming):
    job, path = streaming
    path.write_text(many("old"))
    place.run(job)
    path.write_text(many("new"))
    part = in_part(place, job)
    path.write_text(many("old"))
    assert place.run(job).records == part
    values = [value for _, value in told(place.visible())]
    assert values == ["old"] * 20_000 + ["new"] * part + ["old"] * part


def test_what_the_old_text_of_a_job_sent_counts_as_changed_by_the_new_text(place, streaming):
    job, path = streaming
    path.write_text(many("old"))
    part = in_part(place, job)
    body = replace(job.body, map=tree({"id": "=id", "v": "=upper(v)"}))
    assert place.run(replace(job, body=body, sha256="v2")).records == 20_000
    assert [value for _, value in told(place.visible())] == ["old"] * part + ["OLD"] * 20_000


def test_a_file_read_between_the_parts_of_another_one_is_known_in_its_turn(place, streaming, inbox):
    """The first file is begun, rests (it does not look settled), and another one is read whole."""
    job, path = streaming
    path.write_text(many("one"))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    part = in_part(place, job)
    path.rename(inbox / "a.tmp")
    other = inbox / "b.csv"
    other.write_text(many("two"))
    both = keyed_job("csv", inbox / "*.csv", on_bad_row="dead_letter")
    assert place.run(both).records == 20_000
    (inbox / "a.tmp").rename(path)
    assert place.run(both).records == 20_000
    values = [value for _, value in told(place.visible())]
    assert values == ["one"] * part + ["two"] * 20_000 + ["one"] * 20_000


def test_a_reading_that_fails_in_the_middle_leaves_nothing_known_of_it(place, inbox):
    path = inbox / "a.csv"
    job = keyed_job("csv", path)
    path.write_text("id,v\n1,a\n2,b\n")
    place.run(job)
    path.write_text("id,v\n1,c\n2,d\n2,e\n")
    assert place.run(job).state == "failed"
    path.write_text("id,v\n1,c\n2,b\n")
    place.run(job)
    assert told(place.visible()) == [("1", "a"), ("2", "b"), ("1", "c")]


def test_the_keys_of_requests_are_the_same_after_a_stop_and_others_for_other_contents(place, streaming):
    job, path = streaming
    path.write_text(many("old"))
    in_part(place, job)
    place.run(job)
    keys = [message.key for message in place.spool.oldest("j", 0, limit=10**6, max_bytes=10**9).result()]
    assert len({key.partition("-")[0] for key in keys}) == 1
    assert len(set(keys)) == len(keys) == 2000
