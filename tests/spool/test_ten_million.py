"""What finding costs among ten million receipts: PUSH_AGENT_MILLION=1 pytest -n 0 -s tests/spool/test_ten_million.py

`RECEIPTS=100000` for fewer. It takes minutes and 4 GB, and says what it measured; nothing hangs on a time.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from statistics import median

import pytest

from agent.receipt_keys import bytes_of, mark_of, packed
from agent.spool import Outside, key_index, settle
from agent.spool.database import connect
from agent.spool.folder import DATABASE
from agent.spool.migrations import upgrade
from tests.support.spool import draft, open_spool, receipt
from tests.support.world import World

RECEIPTS = int(os.environ.get("RECEIPTS", "10000000"))
ACKED = 20_000
asked_for = pytest.mark.skipif(
    not os.environ.get("PUSH_AGENT_MILLION"), reason="minutes; asked for with PUSH_AGENT_MILLION=1"
)


def blob(*keys):
    return packed([bytes_of(mark_of(key)) for key in keys])


def fill(path, count):
    """Receipts as acks write them, but many in a transaction; each with a trip of its own and one of 5,000 plates."""
    path.touch()
    upgrade(path)
    db = connect(path)
    text = settle._INSERT_RECEIPT.text
    for start in range(0, count, 50_000):
        db.begin(durable=False)
        for n in range(start, min(start + 50_000, count)):
            made = db.next_id("receipts")
            row = (
                *(made, "gps", 0, f"7f3c1a5e9b2d4c6f8a0b1c2d3e4f5a6b-{n}", n // 1000, 1, 500, f"gps row {n}"),
                *(1.8e9 + n, 1.8e9 + n, 1, "POST", "https://platform.example.com/otm5/realisation"),
                *(200, "200 OK", '{"Server": "nginx"}', '{"accepted": 1}', None),
            )
            db.raw.execute(text, row)
            key_index.keep(db, made, blob(f"trip {n}", f"plate {n % 5_000}"))
        db.commit()
    sizes = {name: db.number(f"SELECT count(*) FROM {name}") for name in ("receipts", "key_pages")}
    pages = db.number("PRAGMA page_count")
    db.close()
    return sizes, pages * 4096


def forget_cache(state):
    """The next one to read the database waits for the disk."""
    for file in state.glob(f"{DATABASE}*"):
        with file.open("rb") as one:
            os.fsync(one.fileno())
            os.posix_fadvise(one.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(outside, key, **more):
    begun = time.perf_counter()
    found = outside.find(key, **more)
    return len(found), (time.perf_counter() - begun) * 1000


def whole_command(world, key, kind):
    """Wall-clock and processor ms of `push-agent find`, the least and the median of nine; what it told."""
    wall, cpu = [], []
    command = [sys.executable, "-m", "agent", "find", key, "--config", str(world.config), "--output", "json"]
    for _ in range(9):
        if kind == "cold":
            forget_cache(world.state)
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, check=True)
        wall.append((time.perf_counter() - begun) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    told = f"{min(wall):.0f} ms (median {median(wall):.0f}), processor {min(cpu):.0f} ms (median {median(cpu):.0f})"
    return told, json.loads(done.stdout)


@asked_for
@pytest.mark.timeout(3600)
def test_one_of_ten_million_receipts_is_found(tmp_path):
    world = World(tmp_path, "http://127.0.0.1:9")
    (world.config / "connections/platform.yaml").unlink()
    (world.config / "agent.yaml").write_text(f"state: {world.state}\nweb: {{listen: off}}\n")
    world.state.mkdir()
    begun, cpu = time.monotonic(), time.process_time()
    sizes, size = fill(world.state / DATABASE, RECEIPTS)
    print(f"\n{RECEIPTS:,} receipts with 2 keys each in {time.monotonic() - begun:.0f} s "
          f"({time.process_time() - cpu:.0f} s of CPU): {size / 1e9:.2f} GB, of which "
          f"{sizes['key_pages'] * 4096 / 1e9:.2f} GB ({sizes['key_pages']:,} pages) are keys")  # fmt: skip
    chosen = random.Random(5)
    for kind in ("cold", "cold", "cold", "warm", "warm", "warm"):
        n = chosen.randrange(RECEIPTS)
        if kind == "cold":
            forget_cache(world.state)
        with Outside.open(world.state) as outside:
            one, by_key = timed(outside, f"trip {n}")
            many, by_plate = timed(outside, f"plate {n % 5000}")
            _, by_idempotency_key = timed(outside, f"7f3c1a5e9b2d4c6f8a0b1c2d3e4f5a6b-{n}")
            none, in_vain = timed(outside, f"trip {RECEIPTS + n}")
        assert (one, many, none) == (1, 20, 0)
        print(f"{kind}: by its key {by_key:.1f} ms, the newest 20 of {RECEIPTS // 5000:,} {by_plate:.1f} ms, "
              f"by Idempotency-Key {by_idempotency_key:.1f} ms, one that is not there {in_vain:.1f} ms")  # fmt: skip
    try:
        for daemon in (False, True):
            if daemon:
                world.start()
            for kind in ("cold", "warm"):
                told, found = whole_command(world, f"trip {RECEIPTS // 3}", kind)
                print(f"{kind}, {'asking a' if daemon else 'without a'} daemon: the whole command {told}")
                assert found[0]["origin"] == f"gps row {RECEIPTS // 3}"
    finally:
        world.close()


@asked_for
@pytest.mark.timeout(600)
@pytest.mark.parametrize("records", [1, 500])
def test_what_keys_cost_an_ack(tmp_path, records):
    rates = {}
    for keys in (0, 1, 2) * 2:
        state = tmp_path / f"{records}-{keys}-{len(rates)}"
        spool = open_spool(state, max_bytes=10_000_000_000)
        run = spool.start_run("gps", 1.0, "every", "sha").result()
        count = ACKED if records == 1 else ACKED // 20
        for start in range(0, count, 1000):
            drafts = [
                draft(
                    b"x" * 200,
                    records=records,
                    record_keys=packed(
                        [
                            b"".join(bytes_of(mark_of(f"{k} {n} {r}")) for r in range(records))
                            for k in range(keys)
                        ]
                    ),
                )
                for n in range(start, min(start + 1000, count))
            ]
            spool.append(run, drafts).result()
        messages = spool.oldest("gps", 0, limit=count, max_bytes=10**10).result()
        begun = time.perf_counter()
        for message in messages:  # one after the other, as a strict lane does
            spool.ack(message, receipt(message)).result()
        rate = count / (time.perf_counter() - begun)
        rates[keys] = max(rate, rates.get(keys, 0.0))
        spool.close()
    for keys, rate in rates.items():
        print(
            f"\n{records} records a message, {keys} keys each: {rate:,.0f} acks/s, {rate * records:,.0f} records/s"
        )
    assert set(rates) == {0, 1, 2}
