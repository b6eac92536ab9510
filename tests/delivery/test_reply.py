"""A success that says what became of each record (`target.reply`)."""

from __future__ import annotations

import gzip
import json

import pytest

from agent.config.model import Delivery, Reply, Told
from agent.deliver.replies import UnreadableReplyError, judge
from agent.target.answers import REPLY_LIMIT
from tests.support.auth_world import World as AuthWorld
from tests.support.auth_world import auth_client
from tests.support.batches import batch, joined
from tests.support.delivery import WHERE, a_draft, sent
from tests.support.scripted import Answer

RETRY = Told(at="/status", values=frozenset({"429", "503"}))


def reply(**more):
    return Reply(**{"items": "/results", "error": "/error", "retry": RETRY, "where": WHERE, **more})


POSITION = reply()


def judged(form, document, count=3):
    texts = [json.dumps({"id": f"k{n % 3}", "n": n}).encode() for n in range(1, count + 1)]
    said = document if isinstance(document, bytes) or document is None else json.dumps(document).encode()
    return judge(form, said, range(1, count + 1), lambda number: texts[number - 1])


async def begin(world, form, *drafts, delivery=None):
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    keys = await world.spool.append(run, drafts)
    world.route(await world.connect(), reply=form, delivery=delivery)
    await world.deliverer.start()
    return keys


def letters(world):
    with world.reader() as reader:
        return reader.dead(limit=1000)[::-1]


# ---------------------------------------------------------------------- what an answer says


def test_del_31_each_result_is_taken_refused_or_to_be_sent_again():
    found = judged(POSITION, {"results": [{}, {"error": "no such\ntrip"}, {"error": "busy", "status": 429}]})
    assert found.good == (1,)
    assert found.bad == {2: ("no such trip", '{"error": "no such\\ntrip"}')}
    assert found.again == {3: "busy"}


@pytest.mark.parametrize("nothing", [None, False, "", [], {}])
def test_an_empty_error_is_none(nothing):
    assert judged(POSITION, {"results": [{"error": nothing}] * 3}).good == (1, 2, 3)


def test_ok_says_what_is_good_and_error_only_gives_the_words():
    form = reply(ok=Told(at="/ok", values=frozenset({"true", "201"})))
    results = [{"ok": True, "error": "a note"}, {"ok": 201}, {"ok": False, "error": {"code": 7}}]
    found = judged(form, {"results": results})
    assert found.good == (1, 2)
    assert found.bad[3][0] == '{"code": 7}'


def test_results_may_stand_at_the_top_and_speak_of_places():
    form = reply(items="", match="index", key="/at", listed="errors", error="/why")
    found = judged(form, [{"at": 2, "why": "late"}, {"at": "0", "why": "early"}])
    assert found.good == (2,)
    assert {number: words for number, (words, _) in found.bad.items()} == {1: "early", 3: "late"}
    assert judged(form, []).good == judged(form, b"").good == (1, 2, 3)


def test_a_key_finds_its_record_whatever_the_order():
    form = reply(match="key", key="/for", record="/id")
    results = [{"for": "k0"}, {"for": "k2", "error": "x"}, {"for": "k1"}]
    assert judged(form, {"results": results}).bad.keys() == {2}


def test_records_with_the_same_key_have_their_results_in_order():
    form = reply(match="key", key="/id", record="/id")
    results = [{"id": "k1"}, {"id": "k1", "error": "x"}, {"id": "k2"}, {"id": "k0"}]
    assert judged(form, {"results": results}, 4).bad.keys() == {4}


INDEX = reply(match="index", key="/at")
KEY = reply(match="key", key="/id", record="/id")


@pytest.mark.parametrize(
    ("form", "document", "why"),
    [
        (POSITION, None, "the answer is too long to be read"),
        (POSITION, b"<html>", "the answer is no JSON"),
        (POSITION, b"[" * 100_000, "the answer is no JSON"),
        (POSITION, b"", "the answer is no JSON"),
        (POSITION, {"results": "fine"}, "there is no list at /results of the answer"),
        (POSITION, {}, "there is no list at /results of the answer"),
        (reply(items=""), {}, "there is no list as the answer"),
        (POSITION, {"results": [{}, {}]}, "it has 2 results for 3 records"),
        (POSITION, {"results": [{}] * 4}, "it has 4 results for 3 records"),
        (INDEX, {"results": [{"at": 3}]}, "a result is of no record: 3 at /at"),
        (INDEX, {"results": [{"at": -1}]}, "a result is of no record: -1 at /at"),
        (INDEX, {"results": [{"at": True}]}, "a result is of no record: true at /at"),
        (INDEX, {"results": [{"at": 1}, {"at": 1}]}, "two results are of one record: 1 at /at"),
        (INDEX, {"results": [{"at": 1}, {"at": 0}]}, "it says nothing of 1 of 3 records"),
        (KEY, {"results": [{"id": "k9"}]}, "it has 1 results for 0 records with the key k9"),
        (KEY, {"results": [{"id": "k1"}, {"id": "k2"}]}, "it says nothing of 1 of 3 records"),
    ],
)
def test_del_31_an_answer_that_does_not_fit_the_records_says_nothing(form, document, why):
    with pytest.raises(UnreadableReplyError) as error:
        judged(form, document)
    assert str(error.value) == why


# ---------------------------------------------------------------------- what becomes of a batch


async def test_del_31_good_ones_are_delivered_and_bad_ones_have_their_own_words(world, server):
    results = [{"error": f"no vehicle {n}"} if n in {2, 5} else {} for n in range(1, 7)]
    server.script("/in", [Answer(200, json={"results": results}), Answer(200, json={"results": [{}] * 3})])
    key, behind = await begin(world, POSITION, batch("csv", 6), batch("csv", 3, first=7))
    await world.settled()
    assert len(server.requests) == 2
    found = letters(world)
    assert [gzip.decompress(one.body) for one in found] == [joined("csv", [n]) for n in (2, 5)]
    assert [one.key for one in found] == [f"{key}.2-2", f"{key}.5-5"]
    assert [one.answer.reason for one in found] == [
        f"200 OK, but of this record: no vehicle {n}" for n in (2, 5)
    ]
    assert [one.answer.body for one in found] == [json.dumps({"error": f"no vehicle {n}"}) for n in (2, 5)]
    assert [one.origin for one in found] == ["positions.csv row 2", "positions.csv row 5"]
    with world.reader() as reader:
        assert [one.records for one in reader.receipts(key)] == [4]
        assert [one.records for one in reader.receipts(behind)] == [3]
    overview = world.overview()
    assert (overview.delivered_records, overview.dead, overview.waiting_bytes) == (7, 2, 0)
    assert world.deliverer.snapshot().delivered["gps"].records == 7


async def test_what_is_to_be_sent_again_is_sent_alone_before_what_is_behind_it(still, server):
    busy = {"status": 429, "error": "slow down"}
    server.script(
        "/in",
        [
            Answer(200, json={"results": [{}, busy, busy, {}, {"error": "bad"}, busy]}),
            Answer(200, json={"results": [busy, {}, busy]}),
            Answer(200, json={"results": [{}, {}]}),
            Answer(200, json={"results": [{}]}),
        ],
    )
    key, _ = await begin(still, POSITION, batch("ndjson", 6), batch("ndjson", 1, first=7))
    wait = await still.waits("retry", attempts=1)
    assert wait.reason == "200 OK, but of 6 records 3 are to be sent again: slow down"
    assert (still.overview().waiting_records, still.overview().delivered_records) == (4, 2)
    await still.clock.advance(0.5)
    wait = await still.waits("retry", attempts=2)
    assert wait.reason == "200 OK, but of 3 records 2 are to be sent again: slow down"
    await still.clock.advance(1)
    await still.settled()
    assert sent(server.requests)[1:] == [
        joined("ndjson", [2, 3, 6]).decode(),
        joined("ndjson", [2, 6]).decode(),
        joined("ndjson", [7]).decode(),
    ]
    used = [one.headers["Idempotency-Key"] for one in server.requests]
    assert used[1].startswith(f"{key}.2-6.")
    assert len(set(used)) == 4
    overview = still.overview()
    assert (overview.delivered_records, overview.dead, overview.waiting_records) == (6, 1, 0)
    with still.reader() as reader:
        assert [one.attempts for one in reader.receipts(used[2])] == [3]


async def test_when_all_are_to_be_sent_again_it_is_the_same_request(world, server):
    busy = {"status": 503}
    answers = [Answer(200, json={"results": [busy] * 4})] * 3 + [Answer(200, json={"results": [{}] * 4})]
    server.script("/in", answers)
    (key,) = await begin(world, POSITION, batch("json", 4))
    await world.settled()
    assert [one.headers["Idempotency-Key"] for one in server.requests] == [key] * 4
    assert world.overview().last_receipt.attempts == 4


async def test_a_request_of_one_record_is_judged_like_any_other(world, server):
    form = reply(match="key", key="/id", record="/id")
    server.script(
        "/in",
        [
            Answer(200, json={"results": [{"id": 7, "error": "no"}]}),
            Answer(200, json={"results": [{"id": 8}]}),
        ],
    )
    keys = await begin(world, form, a_draft('{"id": 7}'), a_draft('{"id": 8}'))
    await world.settled()
    assert [(one.key, one.answer.reason) for one in letters(world)] == [
        (keys[0], "200 OK, but of this record: no")
    ]
    assert world.overview().delivered == 1


async def test_with_stop_what_is_refused_keeps_its_place_and_the_rest_is_delivered(still, server):
    bad, busy = {"error": "no such trip"}, {"status": 429}
    server.script(
        "/in",
        [
            Answer(200, json={"results": [{}, bad, busy, {}]}),
            Answer(200, json={"results": [bad, {}]}),
            Answer(200, json={"results": [{}]}),
        ],
    )
    stop = Delivery(on_refusal="stop")
    await begin(still, POSITION, batch("xml", 4), batch("xml", 1, first=5), delivery=stop)
    wait = await still.waits("refused")
    assert wait.reason == "200 OK, but of 4 records 2 are refused: no such trip"
    assert wait.until == still.clock.now() + 30
    await still.clock.advance(30)
    wait = await still.waits("refused", attempts=2)
    assert wait.reason == "200 OK, but of 2 records 1 are refused: no such trip"
    assert (still.overview().delivered_records, still.overview().dead) == (3, 0)
    await still.clock.advance(60)
    await still.settled()
    assert sent(server.requests)[1:] == [joined("xml", some).decode() for some in ([2, 3], [2], [5])]
    assert (still.overview().delivered_records, still.overview().dead) == (5, 0)


async def test_a_refusal_is_split_as_without_a_reply(world, server):
    def answer(request):
        count = request.body.count(b"\n")
        return Answer(422) if b'"n": 2,' in request.body else Answer(200, json={"results": [{}] * count})

    server.script("/in", answer)
    await begin(world, POSITION, batch("ndjson", 4))
    await world.settled()
    assert [one.answer.status for one in letters(world)] == [422]
    assert world.overview().delivered_records == 3


async def test_del_31_an_answer_that_cannot_be_matched_is_waited_over_slowly_with_the_same_key(still, server):
    server.script("/in", [Answer(200, b"<html>welcome</html>"), Answer(200, json={"results": [{}] * 3})])
    (key,) = await begin(still, POSITION, batch("xml", 3))
    wait = await still.waits("reply")
    assert wait.reason == "200 OK, but the answer is no JSON"
    assert wait.until == still.clock.now() + 30
    assert (still.overview().dead, still.overview().delivered) == (0, 0)
    await still.clock.advance(30)
    await still.settled()
    assert [one.headers["Idempotency-Key"] for one in server.requests] == [key, key]
    assert still.overview().delivered_records == 3


async def test_a_job_may_take_such_an_answer_for_a_delivery(world, server):
    server.script("/in", Answer(200, b"fine"))
    await begin(world, reply(unreadable="delivered"), batch("xml", 3))
    await world.settled()
    assert world.overview().delivered_records == 3


async def test_a_batch_of_before_that_cannot_be_taken_apart_is_not_guessed_at(still, server):
    server.script("/in", Answer(200, json={"results": [{}, {"error": "x"}]}))
    draft = a_draft('[{"n":1},{"n":2}]')
    from dataclasses import replace  # noqa: PLC0415 - here only

    await begin(still, POSITION, replace(draft, records=2))
    wait = await still.waits("reply")
    assert wait.reason == "200 OK, but the batch cannot be taken apart"


@pytest.mark.parametrize("size", [100_000, REPLY_LIMIT + 1])
async def test_del_38_an_answer_is_read_up_to_a_limit(still, server, size):
    body = json.dumps({"results": [{}] * 3}).encode()
    server.script("/in", Answer(200, body + b" " * (size - len(body))))
    await begin(still, POSITION, batch("json", 3))
    if size > REPLY_LIMIT:
        assert (await still.waits("reply")).reason == "200 OK, but the answer is too long to be read"
    else:
        await still.settled()
        assert still.overview().delivered_records == 3


async def test_what_a_result_says_can_be_shown(world, server):
    server.script("/in", Answer(200, json={"results": [{"error": "bad \x1b[31m token\u2028"}, {}]}))
    await begin(world, POSITION, batch("json", 2))
    await world.settled()
    (one,) = letters(world)
    assert one.answer.reason.isprintable()
    assert "\x1b" not in one.answer.body


async def test_sec_03_what_cannot_be_matched_is_told_without_what_signed_the_request(still, server, tmp_path):
    """Some targets say the token again, in whatever place."""

    def echo(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return Answer(200, json={"results": [{"at": f"\x1b[2J{token}"}]})

    server.script("/in", echo)
    async with auth_client() as client:
        auth = AuthWorld(tmp_path, server, client, clock=still.clock)
        run = await still.spool.start_run("gps", 0.0, "test", "sha")
        await still.spool.append(run, [batch("json", 2)])
        connection = await still.connect(session=auth.start())
        still.route(connection, reply=INDEX)
        await still.deliverer.start()
        wait = await still.waits("reply")
        assert wait.reason == "200 OK, but a result is of no record: \\x1b[2J******** at /at"
        await still.deliverer.stop(0)
        await auth.close()


@pytest.mark.parametrize("format_", ["json", "wrapped", "ndjson"])
async def test_a_batch_of_one_record_has_its_key_like_any_other(still, server, format_):
    form = reply(match="key", key="/n", record="/n")
    server.script("/in", Answer(200, json={"results": [{"n": 7}]}))
    await begin(still, form, batch(format_, 1, first=7))
    await still.settled()
    assert still.overview().delivered_records == 1


async def test_keys_of_records_that_were_spooled_before_the_job_made_json_are_not_guessed_at(still, server):
    server.script("/in", Answer(200, json={"results": [{"n": 1}, {"n": 2}]}))
    await begin(still, reply(match="key", key="/n", record="/n"), batch("xml", 2))
    wait = await still.waits("reply")
    assert wait.reason == "200 OK, but record 1 is no JSON that a key could be in"
