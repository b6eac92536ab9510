"""Texts that are not UTF-8, and files packed with zstd."""

from __future__ import annotations

import codecs

import pyarrow as pa
import pytest

from agent.config.schema import read_schema
from agent.errors import RecordError, SourceError
from agent.sources import packed
from tests.support.rendering import documents, make_job, render

ENCODINGS = read_schema("job")["$defs"]["source_csv"]["properties"]["encoding"]["enum"]
WORDS = ["Curaçao", "Łódź", "Москва", "Αθήνα", "İstanbul", "100 €", "東京", "서울", "北京", "臺北"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_that_the_schema_lists_is_read(tmp_path, encoding):
    codecs.lookup(encoding)
    words = [word for word in WORDS if word.encode(encoding, "ignore").decode(encoding) == word]
    assert words
    path = tmp_path / "a.csv"
    path.write_bytes(("place\n" + "".join(f"{word}\n" for word in words)).encode(encoding))
    assert documents(make_job("csv", path, encoding=encoding), path) == [{"place": word} for word in words]


@pytest.mark.parametrize("far", [0, 400_000])
def test_an_undecodable_byte_is_named_with_its_line(tmp_path, far):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n" + b"good\n" * far + b"caf\xe9\n" + b"x\x81y\n")
    with pytest.raises(RecordError) as caught:
        render(make_job("csv", path, encoding="windows-1252"), path)
    assert caught.value.message == f"a.csv line {far + 3}: the byte 81 is not windows-1252"


def zstd(path, data: bytes) -> bytes:
    with pa.OSFile(str(path), "wb") as plain, pa.CompressedOutputStream(plain, "zstd") as out:
        out.write(data)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("csv", b"id;v\n1;x\n2;y\n".replace(b";", b",")),
        ("ndjson", b'{"id":"1","v":"x"}\n{"id":"2","v":"y"}\n'),
        ("json", b'[{"id":"1","v":"x"},{"id":"2","v":"y"}]'),
    ],
)
def test_files_packed_with_zstd_are_read(tmp_path, kind, data):
    path = tmp_path / f"a.{kind}.zst"
    zstd(path, data)
    assert documents(make_job(kind, path), path) == [{"id": "1", "v": "x"}, {"id": "2", "v": "y"}]


@pytest.mark.parametrize("damage", ["cut", "no zstd", "garbage behind", "empty"])
def test_a_damaged_zstd_file_gives_no_record_at_all(tmp_path, damage):
    path = tmp_path / "a.csv.zst"
    good = zstd(path, b"id\n" + b"".join(b"%d\n" % number for number in range(20_000)))
    path.write_bytes(
        {
            "cut": good[:-40],
            "no zstd": b"id\n1\n",
            "garbage behind": good + b"garbage",
            "empty": b"",
        }[damage]
    )
    with pytest.raises(SourceError, match=r"a\.csv\.zst(: cannot be read: | is empty: no zstd file)"):
        render(make_job("csv", path), path)


def test_sec_18_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "ALWAYS_FINE", 1_000_000)
    path = tmp_path / "a.csv.zst"
    zstd(path, b"id\n" + b"\n" * 100_000_000)
    with pytest.raises(SourceError, match=r"a\.csv\.zst: unpacks to more than \d+ MB, \d+ times its size"):
        render(make_job("csv", path), path)
    assert not list((tmp_path / ".spill").iterdir())
