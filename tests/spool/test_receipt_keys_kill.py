"""kill -9 and a full spool: what left is found by its key, what did not still waits, and nothing is both."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest

from agent.errors import SpoolFull
from agent.receipt_keys import bytes_of, mark_of, packed
from agent.spool import Reader, key_index
from tests.spool.test_spool_kill import child, said
from tests.support.spool import draft, open_spool, receipt


@pytest.mark.parametrize("seed", range(4))
def test_del_05_06_a_kill_at_any_statement_leaves_each_message_one_fate_and_its_key(state, seed):
    result = child(state, random.Random(seed).randint(60, 1_200), "keyed")
    assert result.returncode == -signal.SIGKILL, result.stderr
    appended, acked = said(result.stdout, "appended"), said(result.stdout, "acked")
    spool = open_spool(state)
    spool.close()
    fates = Counter()
    with Reader.open(state) as reader:
        for place, key in enumerate(appended):
            [one] = reader.find(f"{place // 4 + 1}.{place % 4}")
            assert one.key == key
            assert [other.fate for other in reader.find(key)] == [one.fate]
            fates[one.fate] += 1
            assert one.fate == "delivered" or key not in acked
        [job] = reader.overview() or [None]
    assert len(acked) <= fates["delivered"] <= len(acked) + 1
    if job is not None:
        more = job.waiting - fates["waiting"]  # appended, and killed before that could be said
        assert more in {0, 4}
        assert (job.delivered, job.superseded) == (fates["delivered"], fates["superseded"])


def test_del_13_receipts_and_their_keys_are_kept_when_the_spool_is_full(state, clock, monkeypatch):
    monkeypatch.setattr(key_index, "PART_KEYS", 2_000)
    spool = open_spool(state, max_bytes=1_500_000, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    keys, full = 0, False
    while not full:
        marks = b"".join(bytes_of(mark_of(f"{keys + n}")) for n in range(500))
        pending = spool.append(run, [draft(b"small", records=500, record_keys=packed([marks]))])
        full = isinstance(pending.exception(), SpoolFull)
        keys += 0 if full else 500
    assert keys > 20_000
    for message in spool.oldest("gps", 0, limit=10_000).result():
        spool.ack(message, receipt(message)).result()
    spool.close()
    with Reader.open(state) as reader:
        for key in random.Random(5).sample(range(keys), 100):
            assert [one.fate for one in reader.find(f"{key}")] == ["delivered"]
