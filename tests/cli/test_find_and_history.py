"""`find` and `history`: was it sent, and which runs were there. With and without a daemon, from outside."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from agent.errors import StateError, UsageError
from agent.finding import Finding
from agent.spool import LaneWait
from agent.trace import MOST_TOLD
from agent.web.control import SOCKET, ControlServer
from tests.cli.test_dead import HOW
from tests.spool.test_receipt_keys import blob
from tests.support.clock import FakeClock
from tests.support.spool import draft, letter, open_spool, receipt

TRIPS = """\
job: trips
schedule: {{watch: true, every: 1h}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s}}
body: {{format: json, map: {{trip: =trip}}}}
batch: {{records: 2}}
target: {{connection: platform, endpoint: ingest}}
receipt: {{keys: [=trip]}}
"""
NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def spool(folder):
    spool = open_spool(folder.state, clock=FakeClock())
    yield spool
    spool.close()


@pytest.fixture
def keys(spool):
    """A message of each fate, all with the key `T`, in run 1."""
    run = spool.start_run("trips", NOW, "every", "sha").result()
    drafts = [
        draft(b"%d" % n, record_keys=blob(["T"]), origin=f"a.csv row {n}", subject="s" if n < 2 else None)
        for n in range(5)
    ]
    keys = spool.append(run, drafts).result()
    first, _, third, fourth, _ = spool.oldest("trips", 0).result()
    spool.supersede([first]).result()
    spool.ack(third, receipt(third)).result()
    spool.bury(fourth, letter(fourth, "expired")).result()
    wait = LaneWait(
        job="trips", lane=0, kind="retry", reason="503 Service Unavailable", since=NOW, until=None, attempts=2
    )
    spool.set_wait(wait).result()
    return keys


def run(call, folder, command, *words):
    return call(command, "--config", folder.config, "--state", folder.state, *words)


def test_find_tells_each_fate_for_programs(call, folder, keys):
    code, out, _ = run(call, folder, "find", "T", "--output", "json")
    assert code == 0
    found = json.loads(out)
    assert [(one["state"], one["key"]) for one in found] == [
        ("waiting", keys[1]),
        ("waiting", keys[4]),
        ("dead", keys[3]),
        ("delivered", keys[2]),
        ("superseded", keys[0]),
    ]
    first, second, dead, delivered, superseded = found
    assert (first["ahead"], second["ahead"], second["settled_at"], second["request"]) == (0, 1, None, None)
    assert "target answered 503 Service Unavailable" in second["why"]
    assert dead["dead_letter"] == {"id": 1, "reason": "expired"}
    assert delivered["request"] == {"method": "POST", "url": "https://target.test/in"}
    assert delivered["answer"] == {
        "status": 200,
        "reason": "200 OK",
        "headers": {"Server": "sink"},
        "body": "thanks",
    }
    assert (delivered["run"], delivered["origin"], delivered["spooled_at"]) == (1, "a.csv row 2", AT)
    assert superseded["answer"]["reason"] == f"superseded by {keys[1]}"
    assert superseded["request"] is None


def test_find_tells_each_fate_for_people_without_colours(call, folder, keys):
    code, out, _ = run(call, folder, "find", "T")
    assert code == 0
    assert "\x1b" not in out
    waiting, behind, dead, delivered, superseded = out.strip().split("\n\n")
    assert waiting.startswith("waiting in trips, lane 0, place 1: waiting: target answered 503")
    assert "place 2" in behind
    assert "expired" in dead
    assert "push-agent dead show 1" in dead
    assert delivered.splitlines()[0].startswith("delivered ")
    for line in (
        f"  Idempotency-Key: {keys[2]}",
        "  POST https://target.test/in",
        "  answer: 200 OK",
        "  thanks",
        "  from a.csv row 2, 1 record, 1 B, run 1",
    ):
        assert line in delivered.splitlines()
    assert f"superseded by {keys[1]}" in superseded


def test_find_is_limited_and_of_one_job(call, folder, keys):
    code, out, _ = run(call, folder, "find", "T", "--limit", "1", "--job", "trips", "--output", "json")
    assert (code, [one["key"] for one in json.loads(out)]) == (0, [keys[1]])
    code, out, err = run(call, folder, "find", "T", "--job", "gps")
    assert (code, out) == (1, "")
    assert "nothing of gps is known of the key T" in err
    _, out, _ = run(call, folder, "find", "T", "--limit", "1")
    assert "there may be more (--limit)" in out


@pytest.mark.parametrize("key", ["nobody", "a\nb\x1b[31m", "'; --", "x" * 10_000, "%", ""])
def test_what_is_not_known_ends_with_1_and_nothing_on_the_terminal_but_words(call, folder, keys, key):
    del keys
    code, out, err = run(call, folder, "find", "--output", "json", "--", key)
    assert (code, json.loads(out)) == (1, [])
    assert "is known of the key" in err
    assert "\x1b" not in err
    assert len(err) < 400


def test_find_without_a_state_finds_nothing_and_makes_nothing(call, folder):
    code, _, err = run(call, folder, "find", "T")
    assert code == 1
    assert "nothing is known" in err
    assert not folder.state.exists()


def test_a_batch_that_a_daemon_sent_is_found_by_the_key_of_any_of_its_records(call, world, tmp_path):
    """The same from the daemon, from its state beside it, and from what it left; the plain text too."""
    world.job("trips", TRIPS.format(drop=world.drop))
    (world.drop / "one.csv").write_text("trip\n4711\n4712\n4713\n")
    world.start()
    world.until(lambda: world.live("trips")["delivered_records"] == 3, "all three are delivered")
    door = tmp_path / "door"  # nothing but the way to the daemon: what is found here comes from it
    door.mkdir()
    (door / SOCKET).symlink_to(world.state / SOCKET)
    asked = {
        words: call("find", "--config", world.config, "--state", door, *words)
        for words in (
            ("4712",),
            ("4712", "--output", "json"),
            ("4712", "--job", "gps"),
            ("4713", "--limit", "1"),
            ("nothing",),
        )
    }
    live = json.loads(asked["4712", "--output", "json"][1])
    assert [(one["state"], one["records"], one["origin"]) for one in live] == [
        ("delivered", 2, "one.csv rows 1-2")
    ]
    assert [code for code, _, _ in asked.values()] == [0, 0, 1, 0, 1]
    many = ("4712", "--limit", str(MOST_TOLD + 1))  # more than the daemon tells
    assert run(call, world, "find", *many)[1] == asked["4712",][1]
    assert "nothing is known" in call("find", "--config", world.config, "--state", door, *many)[2]
    key = live[0]["key"]
    world.stop()
    assert {words: run(call, world, "find", *words) for words in asked} == asked
    assert json.loads(run(call, world, "find", "4711", "--output", "json")[1]) == live
    assert json.loads(run(call, world, "find", key, "--output", "json")[1]) == live
    assert [
        one["state"] for one in json.loads(run(call, world, "history", "trips", "--output", "json")[1])
    ] == ["done"]


async def odd(arguments):
    return {"found": [{"fate": "delivered", "in": "other words"}]}


async def stranger(arguments):
    return {"traces": []}


async def asked_badly(arguments):
    raise UsageError("find takes something else")


@pytest.mark.parametrize("handlers", [{}, {"find": odd}, {"find": stranger}, {"find": asked_badly}])
async def test_a_daemon_of_another_version_that_tells_it_otherwise_is_done_without(
    call, folder, keys, handlers
):
    server = ControlServer(folder.state, handlers)
    await server.start()
    try:
        code, out, _ = await asyncio.to_thread(run, call, folder, "find", "T", "--output", "json")
    finally:
        await server.stop()
    assert (code, [one["key"] for one in json.loads(out)]) == (0, [keys[n] for n in (1, 4, 3, 2, 0)])


async def test_a_daemon_tells_each_fate_as_its_state_does(call, folder, keys):
    del keys
    alone = [run(call, folder, "find", "T", *more) for more in ((), ("--output", "json"))]
    door = folder.folder / "door"
    door.mkdir()
    server = ControlServer(door, {"find": Finding(folder.state).answer})
    await server.start()
    try:
        for more, expected in zip(((), ("--output", "json")), alone, strict=True):
            told = await asyncio.to_thread(
                call, "find", "--config", folder.config, "--state", door, "T", *more
            )
            assert told == expected
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"key": 7},
        {"key": "T", "job": None},
        {"key": "T", "limit": "20"},
        {"key": "T", "limit": 0},
        {"key": "T", "limit": MOST_TOLD + 1},
    ],
)
async def test_what_is_asked_badly_is_refused(folder, arguments):
    with pytest.raises(UsageError):
        await Finding(folder.state).answer(arguments)


async def test_a_state_that_cannot_be_read_is_told(folder):
    folder.state.mkdir()
    (folder.state / "state.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(StateError, match="cannot be read"):
        await Finding(folder.state).answer({"key": "T"})


async def test_it_is_found_while_it_is_delivered_and_nobody_waits(spool, folder):
    """Each message has one fate at any moment; the spool's thread and the loop go on meanwhile."""
    finding = Finding(folder.state)
    number = spool.start_run("trips", NOW, "every", "sha").result()
    spool.append(number, [draft(b"%d" % n, record_keys=blob([f"{n}", "T"])) for n in range(60)]).result()

    async def sent(message):
        await spool.ack(message, receipt(message))

    for done, message in enumerate(spool.oldest("trips", 0).result()):
        answer, _ = await asyncio.gather(finding.answer({"key": "T", "limit": 100}), sent(message))
        assert len({one["key"] for one in answer["found"]}) == len(answer["found"]) == 60
        delivered = [one for one in answer["found"] if one["fate"] == "delivered"]
        assert len(delivered) in {done, done + 1}
    answer = await finding.answer({"key": "T", "limit": 100})
    assert [one["fate"] for one in answer["found"]] == ["delivered"] * 60


# ---------------------------------------------------------------------------------- history


@pytest.fixture
def runs(spool):
    for n in range(3):
        run = spool.start_run("trips", NOW + 60 * n, "every", "sha").result()
        spool.append(run, [draft(records=10 * n, record_keys=b"")]).result()
        spool.end_run(
            run, state="failed" if n == 1 else "done", reason="no such\x07file" if n == 1 else ""
        ).result()
    spool.skip("trips", NOW + 180, "cron", "the run before it is still under way").result()


def test_history_lists_the_runs_the_newest_first(call, folder, runs):
    del runs
    code, out, _ = run(call, folder, "history", "trips")
    assert code == 0
    assert "\x1b" not in out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["RUN", "DUE", "TRIGGER", "STATE", "RECORDS", "REQUESTS", "TOOK", "FATES", "REASON"]
    assert [line[0] for line in lines[1:]] == ["4", "3", "2", "1"]
    assert "skipped" in lines[1]
    assert "no such\\u0007file" in out


def test_history_for_programs_has_all_of_a_run(call, folder, runs):
    del runs
    code, out, _ = run(call, folder, "history", "trips", "--limit", "2", "--output", "json")
    skipped, done = json.loads(out)
    assert code == 0
    assert (skipped["state"], skipped["reason"]) == ("skipped", "the run before it is still under way")
    assert (done["run"], done["state"], done["trigger"], done["records"], done["messages"]) == (
        3,
        "done",
        "every",
        20,
        1,
    )
    assert (done["seconds"], done["window"], done["backfill"]) == (0.0, None, None)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--only", "failed"), [2]),
        (("--only", "collecting"), []),
        (("--since", datetime.fromtimestamp(NOW + 60, UTC).isoformat()), [4, 3, 2]),
        (("--since", "2000-01-01"), [4, 3, 2, 1]),
        (("--since", "3650d"), [4, 3, 2, 1]),
    ],
)
def test_history_of_some_runs(call, folder, runs, words, found):
    del runs
    _, out, _ = run(call, folder, "history", "trips", *words, "--output", "json")
    assert [one["run"] for one in json.loads(out)] == found


def test_history_refuses_what_is_no_time_and_tells_when_there_is_nothing(call, folder):
    code, _, err = run(call, folder, "history", "trips", "--since", "yesterday")
    assert (code, err) == (2, f"error: --since 'yesterday' is no time\n{HOW}")
    assert run(call, folder, "history", "trips")[1] == "no runs of trips\n"


def test_history_and_the_dead_letters_say_alike_how_a_moment_is_written(call):
    told = [" ".join(call(*words, "--help")[1].split()) for words in (("history",), ("dead", "list"))]
    assert ["--since TIME" in each for each in told] == [True, True]
    assert ["since then: 2h or 7d ago, a date, or a date and time." in each for each in told] == [True, True]


POSITIONS = """\
job: positions
schedule: {{watch: true, every: 1h}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s, done: {{move: done/}}}}
body: {{format: json, per: record, map: {{plate: =plate, n: =n}}}}
target: {{connection: platform, endpoint: ingest}}
delivery: {{order: {{by: =plate, lanes: 2}}, latest_by: =plate}}
receipt: {{keys: ["=plate || ' ' || n"]}}
"""


def test_a_position_that_a_newer_one_made_useless_is_found_as_superseded_and_its_file_is_done(
    call, world, sandbox
):
    sandbox.faults({"on": "ingest", "answer": 503})
    world.job("positions", POSITIONS.format(drop=world.drop))
    (world.drop / "1.csv").write_text("plate,n\nA,1\n")
    world.start()
    world.until(lambda: world.live("positions")["lanes"], "the lane waits")
    (world.drop / "2.csv").write_text("plate,n\nA,2\nA,3\n")
    world.until(lambda: world.live("positions")["waiting_messages"] == 3, "all of it is spooled")
    sandbox.no_faults()
    world.until((world.drop / "done/1.csv").exists, "the first file is done")
    world.until((world.drop / "done/2.csv").exists, "the second file is done")
    job = world.live("positions")
    assert (job["delivered_messages"] + job["superseded"], job["dead"], job["waiting_messages"]) == (3, 0, 0)
    assert job["superseded"] >= 1
    fates = [
        json.loads(run(call, world, "find", f"A {n}", "--output", "json")[1])[0]["state"] for n in (1, 2, 3)
    ]
    assert fates.count("superseded") == job["superseded"]
    assert fates[1:] == ["superseded", "delivered"]
