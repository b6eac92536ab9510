"""Dead letters are read without a lock, also while a daemon starts and writes: never bytes of anything else."""

from __future__ import annotations

import os

import pytest

from agent.commands.dead_desk import choose
from agent.commands.dead_export import _letters
from agent.spool import Reader, Which
from agent.spool.calm import Calm
from tests.support.spool import draft, letter, open_spool

COUNT = 100
BODIES = {n: b"%d." % n * 4_000 for n in range(1, COUNT + 1)}


@pytest.fixture
def letters(folder):
    """A state with 100 of them, that nobody owns now."""
    spool = open_spool(folder.state)
    run = spool.start_run("planning", 1.0, "every", "sha").result()
    spool.append(run, [draft(body) for body in BODIES.values()]).result()
    for message in spool.oldest("planning", 0, limit=COUNT).result():
        spool.bury(message, letter(message)).result()
    spool.close()
    return folder.state


def start_and_write(state):
    """A daemon starts, most letters are dropped by hand, and what it collects takes their pages."""
    spool = open_spool(state)
    run = spool.start_run("planning", 2.0, "every", "sha").result()
    spool.drop_all([number for number in BODIES if number % 7]).result()
    for _ in range(40):
        spool.append(run, [draft(os.urandom(20_000)) for _ in range(20)]).result()
    return spool


def test_an_open_reader_never_puts_pages_of_two_moments_together(letters):
    with Reader.open(letters) as reader:
        for number in range(1, COUNT // 2):  # so that it keeps some pages of before in its memory
            assert reader.dead_letter(number).body == BODIES[number]
        before = (letters / "state.db").stat()
        spool = start_and_write(letters)
        assert (letters / "state.db").stat().st_mtime_ns != before.st_mtime_ns
        found = {number: reader.dead_letter(number) for number in BODIES}
        assert {number for number, one in found.items() if one} == {n for n in BODIES if not n % 7}
        assert all(one.body == BODIES[number] for number, one in found.items() if one)
        spool.close()
        assert reader.letters_counted(Which())[0].letters == COUNT // 7, "it is read after a stop, too"


def test_an_export_keeps_no_daemon_from_starting_and_goes_on_beside_it(letters):
    with Reader.open(letters) as reader:
        chosen = choose(reader, Which(), (), None, everything=True)
    export = _letters(letters, chosen)
    read = [next(export)]
    spool = start_and_write(letters)
    read += export
    spool.close()
    assert [one.id for one in read] == [1, *(n for n in BODIES if not n % 7)]
    assert all(one.body == BODIES[one.id] for one in read)


def test_what_makes_no_sense_while_somebody_writes_is_read_again(letters):
    spools, seen = [], []
    with Reader.open(letters) as reader:

        def half_read(db):
            seen.append(db)
            if len(seen) == 1:
                spools.append(start_and_write(letters))
                raise ValueError("half of a row")
            return "good"

        assert reader._ask(half_read, "") == "good"
        with pytest.raises(ValueError, match="for a reason of its own"):
            reader._ask(lambda _: raise_(ValueError("for a reason of its own")), "")
    spools[0].close()


def raise_(error):
    raise error


def test_a_state_is_calm_until_somebody_writes_and_one_with_an_owner_needs_no_calm(letters, tmp_path):
    calm = Calm.before(letters / "state.db")
    assert not calm.is_over()
    spool = start_and_write(letters)
    assert calm.is_over()
    beside = Calm.before(letters / "state.db")
    spool.close()
    assert (beside.mark, beside.is_over()) == (None, False)
    nothing = Calm.before(tmp_path / "nothing/state.db")
    assert (nothing.mark, nothing.is_over()) == ((), False)


def test_a_state_that_cannot_be_looked_at_is_for_connecting_to_tell(tmp_path):
    (tmp_path / "file").write_text("no folder")
    closed = Calm.before(tmp_path / "file/state/state.db")
    assert (closed.mark, closed.is_over()) == ((), False)
    with Reader.open(tmp_path / "file/state") as reader:
        assert reader.overview() == []
