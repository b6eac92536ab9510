"""Who judges the campaign must see what is wrong: each kind of it, in a history of a few lines."""

from __future__ import annotations

import pytest

from tests.faults.checker import judge
from tests.faults.record import Asked, Disturbed, History, Row

GOOD = {"processed": True, "clean": True, "status": 200}


def row(tick, key, *numbers, plate="P", life=1, **more):
    return Row(
        **{
            "tick": tick,
            "path": "/rows",
            "key": key,
            "body_sha": key,
            "records": tuple((plate, number) for number in numbers),
            "life": life,
            "port": 7,
            "token": 1,
            **GOOD,
            **more,
        }
    )


def history(*rows, count=3, plate="P", asked=(), bad=(), disturbed=(), lanes=1):
    one = History(rows=list(rows), asked=list(asked), disturbed=list(disturbed), lanes={"/rows": lanes})
    one.put("/rows", [(plate, number) for number in range(1, count + 1)])
    one.bad = {("/rows", number) for number in bad}
    return one


def verdict(*rows, dead=(), **more):
    return judge(history(*rows, **more), frozenset(dead))


def asked(tick, what, *, given=0, shown=0, life=1, status=200):
    return Asked(tick=tick, life=life, what=what, status=status, shown=shown, given=given)


def test_what_is_right_is_right():
    found = verdict(row(1, "a", 1), row(2, "b", 2, 3), asked=[asked(0, "login", given=1)])
    assert found.violations == []
    assert (found.records, found.requests, found.repeats, found.logins) == (3, 2, 0, 1)


def test_a_record_that_did_not_arrive_is_lost():
    found = verdict(row(1, "a", 1), row(2, "b", 3))
    assert found.violations == ["/rows: ('P', 2) is lost"]
    assert found.lost == 1


def test_what_the_target_did_not_process_did_not_arrive():
    assert verdict(row(1, "a", 1, 2), row(2, "b", 3, status=503, processed=False)).lost == 1


def test_two_that_came_the_wrong_way_round_are_seen():
    found = verdict(row(1, "a", 1), row(2, "b", 3), row(3, "c", 2))
    assert found.out_of_order == 1
    assert found.violations == ["/rows: 2 of 'P' came behind 3"]


def test_a_record_under_two_keys_is_seen():
    found = verdict(row(1, "a", 1), row(2, "b", 2, 3), row(3, "c", 3))
    assert "/rows: ('P', 3) came under several keys: ['b', 'c']" in found.violations


def test_other_bytes_under_a_key_are_seen():
    found = verdict(row(1, "a", 1, 2, 3), row(2, "a", 1, 2, 3, life=2, body_sha="other"))
    assert found.violations == ["/rows: other bytes under key a at 2 than at 1"]


def test_what_nobody_put_in_is_seen():
    assert verdict(row(1, "a", 1, 2, 3), row(2, "b", 4)).violations == ["/rows: ('P', 4) was never put in"]


@pytest.mark.parametrize(
    ("before", "disturbed"),
    [({"clean": False, "status": 500}, ()), ({}, [Disturbed(tick=1, port=7, how="cut back")])],
)
def test_a_repeat_without_a_good_answer_has_its_reason(before, disturbed):
    found = verdict(row(1, "a", 1, **before), row(2, "a", 1), row(3, "b", 2, 3), disturbed=disturbed)
    assert found.violations == []
    assert found.repeats == 1


def test_a_repeat_after_a_good_answer_has_none():
    found = verdict(row(1, "a", 1), row(2, "a", 1), row(3, "b", 2, 3))
    assert found.violations == ["/rows: a came again at 2 though 1 was answered"]


def test_a_repeat_behind_another_of_its_lane_is_seen():
    found = verdict(row(1, "a", 1), row(2, "b", 2), row(3, "a", 1, life=2), row(4, "c", 3, life=2))
    assert found.violations == ["/rows: a came again at 3 behind others of 'P'"]


def test_a_kill_may_cost_one_repeat_for_each_lane_and_no_more():
    rows = [
        row(1, "a", 1, plate="P"),
        row(2, "b", 1, plate="Q"),
        row(3, "a", 1, plate="P", life=2),
        row(4, "b", 1, plate="Q", life=2),
    ]
    one = history(*rows, count=1, lanes=2)
    one.put("/rows", [("Q", 1)])
    assert judge(one, frozenset()).violations == []
    one.lanes = {"/rows": 1}
    assert judge(one, frozenset()).violations == ["/rows: the end of life 1 cost 2 repeats"]


def test_a_refused_record_must_be_a_dead_letter():
    rows = [row(1, "a", 1), row(2, "b", 2, status=400, processed=False), row(3, "c", 3)]
    assert verdict(*rows, bad=[2], dead=["b"]).violations == []
    assert verdict(*rows, bad=[2]).violations == [
        "/rows: b was refused at 2 and is no dead letter",
        "/rows: ('P', 2) is lost",
    ]


def test_a_batch_that_is_taken_apart_delivers_the_good_and_buries_the_bad():
    no = {"status": 400, "processed": False}
    rows = [row(1, "a", 1, 2, 3, **no), row(2, "a.0-0", 1), row(3, "a.1-2", 2, 3, **no)]
    parts = [row(4, "a.1-1", 2, **no), row(5, "a.2-2", 3)]
    assert verdict(*rows, *parts, bad=[2], dead=["a.1-1"]).violations == []
    assert verdict(*rows, *parts[::-1], bad=[2], dead=["a.1-1"]).violations == []
    assert verdict(*rows, bad=[2], dead=["a.1-2"]).violations == ["/rows: ('P', 3) is lost"]


def test_a_login_needs_a_reason():
    rows = [row(2, "a", 1), row(5, "b", 2, 3, token=2)]
    first, second = asked(1, "login", given=1), asked(4, "login", given=2)
    refused = asked(3, "refresh", shown=1, status=401)
    assert verdict(*rows, asked=[first, refused, second]).violations == []
    assert verdict(*rows, asked=[first, second]).violations == [
        "a login at 4 though pair 1 was in use and not refused"
    ]


def test_a_login_again_is_right_when_nobody_heard_of_the_pair():
    rows = [row(5, "a", 1, 2, 3, token=2, life=2)]
    assert (
        verdict(*rows, asked=[asked(1, "login", given=1), asked(4, "login", given=2, life=2)]).violations
        == []
    )


def test_a_refresh_token_is_not_shown_again_and_again():
    login = asked(1, "login", given=1)
    shown = [asked(tick, "refresh", shown=1, status=503) for tick in (2, 3, 4)]
    found = verdict(row(5, "a", 1, 2, 3), asked=[login, *shown])
    assert found.violations == ["refresh token 1 was shown 3 times in life 1"]
