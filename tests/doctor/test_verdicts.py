"""What findings mean: the tables are complete, and the words are right. No I/O."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from agent.config.model import Connection
from agent.doctor import dial, handshake
from agent.doctor.findings import (
    Certificate,
    Counts,
    Dialled,
    NoAddress,
    NoToken,
    Shaken,
    SignedIn,
    Step,
    Try,
    Unshaken,
    Verdict,
)
from agent.doctor.notebook import Notebook
from agent.doctor.places import places_of, shown
from agent.doctor.tokens import Reference, judge_secrets, judge_sign_in
from agent.doctor.trust import judge_plain, judge_tls
from agent.doctor.verdicts import clock_words, judge_tcp
from agent.doctor.words import CALL, CALL_CLASSES, CONNECT, DNS, HTTP, TLS
from tests.doctor.conftest import Watching
from tests.support.auth_world import WHERE
from tests.support.clock import START, FakeClock

DAY = 86_400.0


def test_every_fault_that_can_be_found_has_its_words():
    assert set(get_args(NoAddress)) == set(DNS)
    assert {*dial._CONNECT_FAULTS.values(), "timeout", "other"} == set(CONNECT)
    found = {*handshake._VERIFY.values(), *(fault for _, fault in handshake._REASONS)}
    assert found | {"not accepted", "other", "timeout", "closed", "files"} == set(TLS)
    assert set(HTTP) == {"timeout", "closed", "not http", "other"}


@pytest.mark.parametrize("table", [DNS, CONNECT, TLS, HTTP])
def test_every_fault_says_what_to_do(table):
    assert all(words.says and words.hint for words in table.values())


@pytest.mark.parametrize("table", [CALL, CALL_CLASSES])
def test_every_answer_that_is_not_good_says_what_to_do(table):
    fine = {2, 4, 405, 501}
    assert all(words.says for words in table.values())
    assert {status for status, words in table.items() if not words.hint} <= fine


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (45.0, "45 s ahead"),
        (-119.0, "119 s behind"),
        (600.0, "10 min ahead"),
        (-7_200.0, "2 h behind"),
        (400 * DAY, "400 days ahead"),
    ],
)
def test_a_difference_of_clocks_in_words(seconds, words):
    assert clock_words(seconds) == words


# ---------------------------------------------------------------------------------- addresses


def test_ipv6_addresses_on_a_machine_without_ipv6_are_no_reason_to_worry():
    tries = (
        Try(address="2001:db8::1", seconds=0.0, fault="no family"),
        Try(address="192.0.2.1", seconds=0.02),
    )
    told = judge_tcp(Dialled(tries=tries), 443)
    assert (told.mark, told.hint) == ("good", "")
    assert told.says == "192.0.2.1:443 answered in 20 ms"
    assert told.details == ("[2001:db8::1]:443: this machine has no network of this kind",)


def test_of_several_reasons_the_one_is_told_that_can_be_mended():
    tries = (
        Try(address="2001:db8::1", seconds=0.0, fault="no family"),
        Try(address="192.0.2.1", seconds=0.0, fault="denied"),
    )
    told = judge_tcp(Dialled(tries=tries), 443)
    assert told.says == "192.0.2.1:443: this machine does not allow it"
    assert "IPAddressDeny=" in told.hint
    assert len(told.details) == 2


def test_the_quickest_of_several_that_answer_is_named():
    tries = (Try(address="192.0.2.1", seconds=0.3), Try(address="192.0.2.2", seconds=0.001))
    assert judge_tcp(Dialled(tries=tries), 443).says == "192.0.2.2:443 answered in 1 ms, and 1 more"


# ---------------------------------------------------------------------------------- certificates


def certificate(name, *, issuer="ca", begins=-10.0, ends=300.0, names=()):
    return Certificate(
        subject=name, issuer=issuer, begins=START + begins * DAY, ends=START + ends * DAY, names=names
    )


@pytest.mark.parametrize(("days", "mark"), [(13.9, "warning"), (14.1, "good")])
def test_fourteen_days_are_soon(days, mark):
    chain = (certificate("api", ends=days),)
    assert judge_tls(Shaken(version="TLSv1.3", cipher="C", chain=chain), "api", START).mark == mark


def test_an_authority_that_ends_before_the_certificate_is_the_one_to_tell_of():
    chain = (certificate("api", ends=90), certificate("between", issuer="root", ends=3))
    told = judge_tls(Shaken(version="TLSv1.3", cipher="C", chain=chain), "api", START)
    assert told.mark == "warning"
    assert told.says == "TLSv1.3, C; the certificate of between ends on 2027-01-18, 3 days left"


def test_an_expired_authority_is_named_not_the_good_certificate_below_it():
    chain = (certificate("api"), certificate("between", issuer="root", ends=-2))
    told = judge_tls(Unshaken(fault="expired", chain=chain), "api", START)
    assert told.says == "the server's certificate has expired: that of between ended on 2027-01-13"


def test_of_many_names_the_first_are_shown():
    chain = (certificate("api", names=tuple(f"n{each}.test" for each in range(9))),)
    told = judge_tls(Unshaken(fault="wrong name", chain=chain), "api.test", START)
    assert told.says.endswith(": n0.test, n1.test, n2.test, n3.test, n4.test and 4 more, not api.test")


def test_plain_http_to_another_machine_is_a_warning():
    assert judge_plain(loopback=False).mark == "warning"


# ---------------------------------------------------------------------------------- secrets and tokens


def test_each_secret_that_is_wrong_is_named_and_the_first_hint_is_given():
    found = [
        Reference("{secret: user}", "auth.username"),
        Reference("{env: PW}", "auth.password", "the environment variable PW is not set", "set it"),
    ]
    told = judge_secrets(found, daemon=False)
    assert (told.mark, told.hint) == ("failed", "set it")
    assert told.details == ("auth.password: the environment variable PW is not set",)
    assert judge_secrets(found, daemon=True).mark == "warning"
    assert judge_secrets(found[:1], daemon=False).says == "readable: {secret: user}"
    assert judge_secrets(found[1:], daemon=False).says == "not readable"
    assert judge_secrets([], daemon=False).says == "none are named"


@pytest.mark.parametrize(
    ("after", "how"),
    [
        (Counts(logins=1, refreshes=4), "with the stored token"),
        (Counts(logins=1, refreshes=5), "by refresh"),
        (Counts(logins=2, refreshes=4), "by login"),
    ],
)
def test_how_somebody_was_signed_in_is_read_off_the_counts(after, how):
    finding = SignedIn(before=Counts(logins=1, refreshes=4), after=after, generation=6, expires_at=START + 90)
    assert judge_sign_in(finding, START, fixed=False).says == f"signed in {how}: generation 6, good for 90 s"


def test_who_is_not_signed_in_is_told_where_to_look():
    told = judge_sign_in(NoToken(text="why"), START, fixed=False)
    assert (told.mark, told.says, told.hint) == ("failed", "why", "push-agent auth status tells more")


# ---------------------------------------------------------------------------------- places and steps


def test_each_origin_is_visited_once_with_all_that_is_there():
    connection = Connection(
        name="p",
        base="https://api.example.com",
        endpoints={
            "a": "https://API.example.com:443/a?k=v",
            "b": "https://api.example.com:8443/b",
            "c": "http://[::1]:80/c",
            "d": "https://bücher.example/d",
        },
        where=WHERE,
    )
    places = places_of(connection)
    assert [place.origin for place in places] == [
        "https://api.example.com",
        "https://api.example.com:8443",
        "http://[::1]",
        "https://xn--bcher-kva.example",
    ]
    assert [name for name, _ in places[0].endpoints] == ["url", "a"]


def test_a_url_is_shown_without_its_query_and_without_a_user():
    assert shown("https://u:p@api.example.com/a/b?key=v#x") == "https://api.example.com/a/b"


async def test_a_step_that_never_ends_is_ended():
    screen, clock = Watching(), FakeClock()
    notebook = Notebook(screen, clock)
    told = await notebook.take("dns", "x", asyncio.Event().wait(), deadline=0.05)
    assert told.mark == "failed"
    assert told.says == "not done within 0.05 s"
    assert not notebook.report("p", daemon=False).healthy


async def test_a_step_is_announced_timed_and_kept():
    screen, clock = Watching(), FakeClock()

    async def work():
        clock.tick(1.5)
        return Verdict(mark="warning", says="so so")

    notebook = Notebook(screen, clock)
    await notebook.take("tls", "https://x", work(), deadline=60)
    notebook.skip("http", "https://x", "since tls failed")
    assert screen.begun == ["tls https://x"]
    first, second = notebook.report("p", daemon=True).steps
    assert first == Step(
        name="tls", place="https://x", seconds=1.5, verdict=Verdict(mark="warning", says="so so")
    )
    assert (second.verdict.mark, second.verdict.says) == ("skipped", "since tls failed")
    assert notebook.report("p", daemon=True).healthy
