from __future__ import annotations

from datetime import timedelta

import pytest

from agent.config.units import UnitError, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5h", 5400), ("0s", 0)],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("512KB", 512_000), ("1MB", 10**6), ("1GiB", 2**30), ("1.5GB", 1_500_000_000)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "rate"), [("10/s", 10), ("600/m", 10), ("36000/h", 10), ("0.5/s", 0.5)])
def test_rates_are_read(text, rate):
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("parse", "text", "hint"),
    [
        (parse_duration, "30", "say of what: 30s, 30m or 30h"),
        (parse_duration, "30 seconds", "write 30s"),
        (parse_duration, "1,5 Min", "write 1.5m"),
        (parse_duration, "-5s", ""),
        (parse_duration, "5s\n", "write 5s"),
        (parse_duration, "٣s", ""),
        (parse_duration, "99999d", ""),
        (parse_duration, "soon", ""),
        (parse_size, "10mb", "write 10MB"),
        (parse_size, "10", "say of what: 10B, 10KB or 10MB"),
        (parse_size, "0MB", ""),
        (parse_size, "99999999TB", ""),
        (parse_size, "big", ""),
        (parse_rate, "10 per second", "write 10/s"),
        (parse_rate, "10", "say in what time: 10/s or 10/m"),
        (parse_rate, "0/s", ""),
        (parse_rate, "fast", ""),
    ],
)
def test_what_is_no_unit_is_refused_with_the_way_to_write_it(parse, text, hint):
    with pytest.raises(UnitError) as caught:
        parse(text)
    assert caught.value.hint == hint
