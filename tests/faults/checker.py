"""Judges a history. Knows what was put in and what arrived, and nothing of the agent.

- nothing lost: each record arrived, or the target refused it and it is a dead letter
- nothing made up, and no record under two keys
- order: behind each other as in the source, for each key of order, after repeats are taken out by key
- a repeat has the same bytes and comes before anything else of its lane; it has a reason: no good answer
  reached the agent, or a life ended in between; one for each lane and end of a life at most
- a login: the first one, after a refresh that was refused, or because nobody heard of the pair before
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.record import History, Record, Row


@dataclass(kw_only=True)
class Verdict:
    violations: list[str] = field(default_factory=list)
    records: int = 0
    requests: int = 0
    repeats: int = 0
    lost: int = 0
    out_of_order: int = 0
    unjustified: int = 0
    logins: int = 0
    refreshes: int = 0
    dead_letters: int = 0

    def add(self, text: str) -> None:
        self.violations.append(text)


def judge(history: History, dead_keys: frozenset[str]) -> Verdict:
    """`dead_keys`: the idempotency keys of all dead letters at the end."""
    verdict = Verdict(dead_letters=len(dead_keys))
    for path, put in history.sources.items():
        rows = [row for row in history.rows if row.path == path and (row.processed or row.status == 400)]
        verdict.records += len(put)
        verdict.requests += len(rows)
        _judge_bytes(verdict, path, rows)
        _judge_presence(verdict, history, path, rows, dead_keys)
        _judge_order(verdict, history, path, rows)
        _judge_repeats(verdict, history, path, rows)
    for path in {row.path for row in history.rows} - set(history.sources):
        verdict.add(f"{path}: nothing was put in here")
    _judge_logins(verdict, history)
    return verdict


def _firsts(rows: Iterable[Row]) -> Iterator[Row]:
    """Without repeats."""
    seen = set()
    for row in rows:
        if row.key not in seen:
            seen.add(row.key)
            yield row


def _judge_bytes(verdict: Verdict, path: str, rows: list[Row]) -> None:
    known: dict[str, Row] = {}
    for row in rows:
        if not row.key:
            verdict.add(f"{path}: a request without a key at {row.tick}")
        first = known.setdefault(row.key, row)
        if first.body_sha != row.body_sha:
            verdict.add(f"{path}: other bytes under key {row.key} at {row.tick} than at {first.tick}")


def _judge_presence(
    verdict: Verdict, history: History, path: str, rows: list[Row], dead_keys: frozenset[str]
) -> None:
    put = history.sources[path]
    keys_of: dict[Record, set[str]] = defaultdict(set)
    buried: set[Record] = set()
    for row in rows:
        if row.processed:
            for record in row.records:
                keys_of[record].add(row.key)
        elif row.key in dead_keys:
            buried.update(row.records)
        elif len(row.records) == 1:  # several may have been taken apart
            verdict.add(f"{path}: {row.key} was refused at {row.tick} and is no dead letter")
    seen = {record for row in rows for record in row.records}
    for record in put:
        wanted = buried if (path, record[1]) in history.bad else keys_of
        if record not in wanted:
            verdict.lost += 1
            verdict.add(f"{path}: {record} is lost")
        elif len(keys_of[record]) > 1:
            verdict.unjustified += 1
            verdict.add(f"{path}: {record} came under several keys: {sorted(keys_of[record])}")
    for record in seen - set(put):
        verdict.add(f"{path}: {record} was never put in")


def _judge_order(verdict: Verdict, history: History, path: str, rows: list[Row]) -> None:
    arrived: dict[str, list[int]] = defaultdict(list)
    for row in _firsts(row for row in rows if row.processed):
        for key, number in row.records:
            arrived[key].append(number)
    for key, numbers in arrived.items():
        for before, after in pairwise(numbers):
            if after <= before:
                verdict.out_of_order += 1
                verdict.add(f"{path}: {after} of {key!r} came behind {before}")


def _judge_repeats(verdict: Verdict, history: History, path: str, rows: list[Row]) -> None:
    last_of_key: dict[str, Row] = {}
    last_in_lane: dict[str, Row] = {}
    cost: Counter[int] = Counter()
    for row in rows:
        before = last_of_key.get(row.key)
        keys = {key for key, _ in row.records}
        if before is not None:
            verdict.repeats += 1
            if overtaken := sorted(key for key in keys if last_in_lane[key].key != row.key):
                verdict.unjustified += 1
                verdict.add(f"{path}: {row.key} came again at {row.tick} behind others of {overtaken[0]!r}")
            if row.life > before.life:
                cost[before.life] += 1
            elif before.clean and not _disturbed(history, before):
                verdict.unjustified += 1
                verdict.add(f"{path}: {row.key} came again at {row.tick} though {before.tick} was answered")
        last_of_key[row.key] = row
        last_in_lane.update(dict.fromkeys(keys, row))
    for life, repeats in cost.items():
        if repeats > history.lanes[path]:
            verdict.unjustified += repeats - history.lanes[path]
            verdict.add(f"{path}: the end of life {life} cost {repeats} repeats")


def _disturbed(history: History, row: Row) -> bool:
    """Whether the proxy did something to its connection, then or later."""
    return any(each.port == row.port and each.tick >= row.tick for each in history.disturbed)


def _judge_logins(verdict: Verdict, history: History) -> None:
    used: dict[int, int] = {}
    for row in history.rows:
        used.setdefault(row.token, row.tick)
    pairs: list[int] = []  # given out since a refresh was refused last
    for asked in history.asked:
        if asked.what == "refresh":
            verdict.refreshes += 1
            if asked.status == 401:
                pairs.clear()
        else:
            verdict.logins += 1
            if known := [each for each in pairs if used.get(each, asked.tick) < asked.tick]:
                verdict.add(f"a login at {asked.tick} though pair {known[-1]} was in use and not refused")
        if asked.given:
            pairs.append(asked.given)
    shown: Counter[tuple[int, int]] = Counter(
        (each.life, each.shown) for each in history.asked if each.what == "refresh"
    )
    for (life, token), times in shown.items():
        if times > 2:
            verdict.add(f"refresh token {token} was shown {times} times in life {life}")
