"""`type: http`: every way of paging, against a real server; each record comes once, in order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.config.model import uses_window
from tests.support.pulling import rows
from tests.support.scripted import Answer

SIMPLE = "type: http\nconnection: api\npath: /items\n"


async def done(world, **more):
    result = await world.run(**more)
    assert (result.state, result.reason) == ("done", "")
    return result


async def failed(world, **more):
    result = await world.run(**more)
    assert result.state == "failed"
    return result.reason


def asked(server, path="/items"):
    return [request.path for request in server.asked(path)]


async def test_one_answer_is_an_array_and_its_records_are_sent_in_batches(world, server):
    server.script("/items", Answer(json=rows(1, 2, 3)))
    result = await done(world.job(SIMPLE))
    assert world.bodies() == [rows(1, 2), rows(3)]
    assert (result.records, result.messages) == (3, 2)
    assert world.origins() == ["answer rows 1-2", "answer rows 3-3"]
    [request] = server.requests
    assert request.method == "GET"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["Accept"].startswith("application/json")


async def test_one_object_is_one_record_and_a_pointer_finds_the_records(world, server):
    server.script("/items", Answer(json={"a/b": {"items": rows(1, 2)}, "meta": [1, {"x": "]"}]}))
    await done(world.job(SIMPLE + "records: /a~1b/items"))
    assert world.ids() == [1, 2]
    await done(world.job(SIMPLE + "records: /a~1b"))
    assert world.bodies()[1:] == [[{"items": rows(1, 2)}]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"data": []}, "answer: there is nothing at /items (check `records` of the source)"),
        ({"items": 5}, "answer holds neither an array nor an object"),
        ({"items": "x"}, "answer holds neither an array nor an object"),
    ],
)
async def test_a_pointer_that_leads_nowhere_is_told(world, server, answer, words):
    server.script("/items", Answer(json=answer))
    assert words in await failed(world.job(SIMPLE + "records: /items"))


async def test_null_and_an_empty_array_and_no_content_are_no_records(world, server):
    server.script("/items", [Answer(json={"items": None}), Answer(json={"items": []}), Answer(204), Answer()])
    world.job(SIMPLE + "records: /items")
    for _ in range(4):
        assert (await done(world)).records == 0
    assert world.bodies() == []


async def test_csv_and_ndjson_are_read_with_their_options(world, server):
    server.script("/items", [Answer(body=b"id;n\n1;007\n2;x\n"), Answer(body=b'{"id":3}\n\n{"id":4}\n')])
    await done(world.job(SIMPLE + 'format: csv\ndelimiter: ";"\ntypes: {id: BIGINT}'))
    await done(world.job(SIMPLE + "format: ndjson"))
    assert world.bodies() == [[{"id": 1, "n": "007"}, {"id": 2, "n": "x"}], rows(3, 4)]


async def test_link_headers_lead_from_page_to_page(world, server):
    server.script(
        "/items",
        [
            Answer(
                json=rows(1), headers={"Link": '</x>; rel="prev", </items?after=1>; rel="foo next"; a="b"'}
            ),
            Answer(json=rows(2), headers={"Link": "<?after=2>; rel=next"}),
            Answer(json=rows(3), headers={"Link": '</items?after=0>; rel="first"'}),
        ],
    )
    await done(world.job(SIMPLE + "paging: {next: link}\nquery: {size: '1'}"))
    assert world.ids() == [1, 2, 3]
    assert asked(server) == ["/items?size=1", "/items?after=1", "/items?after=2"]
    assert world.origins() == ["page 1 rows 1-1", "page 2 rows 1-1", "page 3 rows 1-1"]


async def test_urls_in_the_body_lead_from_page_to_page(world, server):
    server.script(
        "/items",
        [
            Answer(json={"data": rows(1), "meta": {"next": f"{server.url}/items?p=%2F2"}}),
            Answer(json={"data": rows(2), "meta": {"next": None}}),
        ],
    )
    await done(world.job(SIMPLE + "records: /data\npaging: {next: /meta/next}"))
    assert world.ids() == [1, 2]
    assert asked(server) == ["/items", "/items?p=%2F2"]


async def test_cursors_in_the_body_are_sent_with_the_same_query(world, server):
    server.script(
        "/items",
        [
            Answer(json={"data": rows(1), "cursor": "a&b=c/+%"}),
            Answer(json={"data": rows(2), "cursor": 7}),
            Answer(json={"data": rows(3), "cursor": ""}),
        ],
    )
    await done(world.job(SIMPLE + "records: /data\npaging: {cursor: /cursor, param: after}\nquery: {q: x y}"))
    assert world.ids() == [1, 2, 3]
    assert asked(server) == [
        "/items?q=x%20y",
        "/items?q=x%20y&after=a%26b%3Dc/%2B%25",
        "/items?q=x%20y&after=7",
    ]


async def test_a_cursor_may_stand_in_a_template_and_is_left_out_on_the_first_page(world, server):
    server.script("/items", [Answer(json={"d": rows(1), "c": "k"}), Answer(json={"d": rows(2)})])
    await done(world.job(SIMPLE + "records: /d\npaging: {cursor: /c}\nquery: {where: 'id>{cursor}'}"))
    assert asked(server) == ["/items", "/items?where=id%3Ek"]


async def test_numbered_pages_end_with_the_first_that_is_empty(world, server):
    server.script("/items", [Answer(json=rows(1, 2)), Answer(json=rows(3)), Answer(json=[])])
    await done(world.job(SIMPLE + "paging: {page: page, size: {param: per_page, value: 2}}"))
    assert world.ids() == [1, 2, 3]
    assert asked(server) == [f"/items?page={page}&per_page=2" for page in (1, 2, 3)]


async def test_offsets_grow_by_the_limit(world, server):
    server.script("/items", [Answer(json=rows(1, 2)), Answer(json=rows(3, 4)), Answer(json=[])])
    await done(world.job(SIMPLE + "paging: {offset: from, start: 10, limit: {param: max, value: 2}}"))
    assert asked(server) == [f"/items?from={offset}&max=2" for offset in (10, 12, 14)]


async def test_a_finished_walk_begins_again_at_the_first_page(world, server):
    server.script("/items", [Answer(json=rows(1)), Answer(json=[])])
    world.job(SIMPLE + "paging: {page: page}")
    await done(world)
    await done(world)
    assert asked(server) == ["/items?page=1", "/items?page=2", "/items?page=1"]


async def test_a_kept_cursor_is_where_the_next_run_begins(world, server):
    server.script(
        "/items",
        [
            Answer(json={"d": rows(1), "delta": "a"}),
            Answer(json={"d": [], "delta": "b"}),
            Answer(json={"d": rows(2), "delta": "c"}),
            Answer(json={"d": rows(3), "delta": "c"}),
            Answer(json={"d": []}),
        ],
    )
    world.job(SIMPLE + "records: /d\npaging: {cursor: /delta, keep: true}")
    for _ in range(3):
        await done(world)
    assert world.ids() == [1, 2, 3]
    assert asked(server) == ["/items", *(f"/items?cursor={cursor}" for cursor in "abcc")]
    assert world.cursor["kept"] == "c"


async def test_windows_fill_the_query(world, server):
    server.script("/items", Answer(json=rows(1)))
    window = datetime(2026, 11, 1, 22, 30, tzinfo=UTC), datetime(2026, 11, 2, 1, 0, 0, 500_000, tzinfo=UTC)
    world.job(
        SIMPLE
        + "query: {from: '{since}', to: '{until}', day: '{since:date}', at: '{until:unix}', x: '{{y}}'}"
    )
    await done(world, window=window)
    assert asked(server) == [
        "/items?from=2026-11-01T22:30:00Z&to=2026-11-02T01:00:00.500000Z&day=2026-11-01&at=1793581200&x=%7By%7D"
    ]
    assert "{since} needs the scheduled interval" in await failed(world)


async def test_the_date_of_a_window_is_that_of_the_jobs_own_zone(world, server):
    """The day that begins in Amsterdam at midnight begins in UTC on the day before."""
    server.script("/items", Answer(json=rows(1)))
    schedule = '{cron: "0 0 * * *", timezone: Europe/Amsterdam}'
    world.job(SIMPLE + "query: {day: '{since:date}', from: '{since}'}", schedule=schedule)
    await done(world, window=(datetime(2026, 7, 1, 22, tzinfo=UTC), datetime(2026, 7, 2, 22, tzinfo=UTC)))
    assert asked(server) == ["/items?day=2026-07-02&from=2026-07-01T22:00:00Z"]


async def test_a_window_is_asked_for_whole_whatever_was_answered_before(world, server):
    """Who asks for a window again wants it sent again: a 304 would be nothing."""
    server.script("/items", Answer(json=rows(1), headers={"ETag": '"one"'}))
    world.job(SIMPLE + "query: {day: '{since:date}'}")
    day = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)
    for _ in range(2):
        await done(world, window=day)
    assert [one.headers.get("If-None-Match") for one in server.requests] == [None, None]


async def test_an_unchanged_answer_is_not_sent_again(world, server):
    server.script(
        "/items",
        [
            Answer(json=rows(1), headers={"ETag": '"one"', "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}),
            Answer(304),
            Answer(json=rows(2), headers={"ETag": '"two"'}),
            Answer(json=rows(3)),
            Answer(json=rows(4)),
        ],
    )
    world.job(SIMPLE)
    await done(world)
    second = await world.run()
    assert (second.state, second.reason, second.records) == (
        "done",
        "nothing has changed since the last answer (304)",
        0,
    )
    for _ in range(3):
        await done(world)
    assert world.ids() == [1, 2, 3, 4]
    tags = [
        (one.headers.get("If-None-Match"), one.headers.get("If-Modified-Since")) for one in server.requests
    ]
    assert tags == [
        (None, None),
        ('"one"', "Mon, 02 Nov 2026 10:00:00 GMT"),
        ('"one"', "Mon, 02 Nov 2026 10:00:00 GMT"),
        ('"two"', None),
        (None, None),
    ]


async def test_a_304_that_nobody_asked_for_is_no_answer(world, server):
    server.script("/items", Answer(304))
    assert "304 Not Modified" in await failed(world.job(SIMPLE))


async def test_another_question_begins_anew(world, server):
    server.script("/items", [Answer(json=rows(1), headers={"ETag": '"one"'}), Answer(json=rows(2))])
    await done(world.job(SIMPLE))
    await done(world.job(SIMPLE + "query: {a: b}"))
    assert "If-None-Match" not in server.requests[1].headers


async def test_a_bad_record_holds_its_page_and_the_run_goes_on_there(world, server):
    bad = b"\n".join(b'{"id":%d}' % number for number in range(3, 3000)) + b"\n{nonsense\n"
    server.script(
        "/items",
        [
            Answer(body=b'{"id":1}\n{"id":2}\n', headers={"Link": "</items?p=2>; rel=next"}),
            Answer(body=bad, headers={"Link": "</items?p=3>; rel=next"}),
            Answer(body=b'{"id":3}\n', headers={"Link": "</items?p=3>; rel=next"}),
            Answer(body=b'{"id":4}\n'),
        ],
    )
    world.job(SIMPLE + "format: ndjson\npaging: {next: link}")
    reason = await failed(world)
    assert reason.startswith("page 2 record 2998 (line 2998): not valid JSON")
    assert world.ids() == [1, 2]
    assert world.cursor["next"]["at"].endswith("/items?p=2")
    await done(world)
    assert world.ids() == [1, 2, 3, 4]
    assert asked(server) == ["/items", "/items?p=2", "/items?p=2", "/items?p=3"]


async def test_bad_records_can_become_dead_letters(world, server):
    server.script("/items", Answer(body=b'{"id":1}\n{nonsense\n{"id":2}\n'))
    await done(world.job(SIMPLE + "format: ndjson\non_bad_row: dead_letter"))
    assert world.ids() == [1, 2]


async def test_a_limit_stops_before_the_next_page_and_the_next_run_goes_on(world, server):
    server.script("/items", [Answer(json=rows(1)), Answer(json=rows(2)), Answer(json=[])])
    world.job(SIMPLE + "paging: {page: page}")
    result = await world.run(limit=1)
    assert (result.state, result.reason) == ("done", "stopped before page 2: the limit of 1 is reached")
    await done(world)
    assert world.ids() == [1, 2]
    assert asked(server) == ["/items?page=1", "/items?page=2", "/items?page=3"]


@pytest.mark.parametrize("steps", [["b", "b"], ["b", "c", "b"], ["b", "c", "d", "c"]])
async def test_pages_that_lead_in_a_circle_are_an_error_and_come_once(world, server, steps):
    known = {"": 1}
    for step in steps:
        known.setdefault(step, len(known) + 1)
    follows = dict(zip(["", *steps], steps, strict=False))
    server.script(
        "/items",
        lambda request: Answer(
            json={
                "d": rows(known[request.path.partition("=")[2]]),
                "c": follows.get(request.path.partition("=")[2]),
            }
        ),
    )
    world.job(SIMPLE + "records: /d\npaging: {cursor: /c}")
    for _ in range(3):
        assert "names a page as the next that was there before" in await failed(world)
    assert world.ids() == sorted(set(world.ids()))


async def test_too_many_pages_are_an_error(world, server):
    server.script("/items", lambda request: Answer(json=rows(int(request.path.partition("=")[2]))))
    world.job(SIMPLE + "paging: {page: page, max_pages: 3}")
    assert "more than 3 pages" in await failed(world)
    assert world.ids() == [1, 2, 3]
    assert "more than 3 pages" in await failed(world)
    result = await world.job(SIMPLE + "paging: {page: page, max_pages: 5}").run(limit=2)
    assert result.state == "done"
    assert world.ids() == [1, 2, 3, 4, 5]


@pytest.fixture
def days(world, server):
    """Two pages of one record for each day; and the days."""

    def page(request):
        day, number = request.path.partition("=")[2].split("&page=")
        return Answer(json=rows(int(day[-2:]) * 10 + int(number)) if int(number) <= 2 else [])

    server.script("/items", page)
    world.job(SIMPLE + "query: {day: '{since:date}'}\npaging: {page: page}")
    assert uses_window(world.loaded.plan.jobs["pulled"].source)
    return [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]


async def test_a_walk_that_was_cut_off_waits_for_its_own_window(world, days):
    await world.run(limit=1, window=(days[0], days[1]))
    assert world.ids() == [11]
    await world.run(limit=1, window=(days[1], days[2]))
    assert world.ids() == [11, 21]
    await done(world, window=(days[0], days[1]))
    assert world.ids() == [11, 21, 12]
    await done(world, window=(days[1], days[2]))
    assert world.ids() == [11, 21, 12, 22]
    assert set(world.cursor) == {"source", "finished"}


async def test_a_window_that_has_grown_is_asked_only_for_what_is_new(world, days):
    await world.run(limit=1, window=(days[0], days[1]))
    await done(world, window=(days[0], days[2]))
    assert world.ids() == [11, 12, 21, 22]


async def test_a_window_whose_run_died_behind_its_last_page_has_nothing_more(world, days):
    await done(world, window=(days[0], days[1]), ended=False)
    for ended in (False, True):
        assert (await done(world, window=(days[0], days[1]), ended=ended)).records == 0
    assert world.ids() == [11, 12]
    await done(world, window=(days[0], days[1]))
    assert world.ids() == [11, 12, 11, 12]


async def test_a_window_that_is_done_can_be_asked_for_again(world, days):
    for _ in range(2):
        await done(world, window=(days[0], days[1]))
    assert world.ids() == [11, 12, 11, 12]


async def test_without_windows_a_run_goes_on_and_begins_nothing(world, server):
    server.script("/items", [Answer(json=rows(1)), Answer(json=rows(2)), Answer(json=[])])
    world.job(SIMPLE + "paging: {page: page}")
    await world.run(limit=1)
    await done(world)
    assert asked(server) == ["/items?page=1", "/items?page=2", "/items?page=3"]
