"""Reading in a stream: compiled cells are those of the careful way, blocks and line ends, bombs, disturbed files."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.settings import Settings
from pipelines.steps.intake import ingest
from warehouse import parts, taking
from warehouse.formatspec import load_format
from warehouse.raw import plain_rows
from warehouse.readers import fast, source, table
from warehouse.readers.lines import LineCounter, RefusedFile, count_text_records, whole_lines
from warehouse.readers.source import BytesSource, Source
from warehouse.store import WarehouseError, open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
SPEC = load_format("fadecast_samples")


def sample(minute: int, volts: str = "350", car: str = "CAR1") -> str:
    return f"{car},2024-05-01T10:{minute:02d}:00Z,s1,drive,{volts},-20,55.0,21,15,,1000"


_NUMBER = st.one_of(
    st.floats(-400, 800).map(repr),
    st.decimals(-300, 300, places=3).map(str),
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "+5",
            "5.",
            ".5",
            "1e2",
            "1E2",
            "nan",
            "inf",
            "-inf",
            "NA",
            "1_0",
            "0x1",
            "12,5",
            "000350",
            "1234567890123456",
        ]
    ),
    st.sampled_from(["", " 350", "350 ", "123456789012345", "3.141592653589793", "--1", "-", "1.2.3", "٣"]),
)
_TIME = st.one_of(
    st.datetimes().map(lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ")),
    st.integers(0, 59).map(lambda m: f"2024-05-01T10:{m:02d}:00Z"),
    st.sampled_from(["", "2024-05-01 10:00:00", "2024-05-01T10:00:00+02:00", "2024-05-01T10:00Z"]),
    st.sampled_from([f"2024-{x}Z" for x in ("02-29T10:00:00", "05-01T24:00:00", "05-01T10:00:60", "13-01T10:00:00")]),
    st.sampled_from(["0000-01-01T00:00:00Z", "2023-02-29T10:00:00Z", "2100-02-29T10:00:00Z"]),
)
_TEXT = st.sampled_from(["CAR1", "CAR2", "", " CAR1", "drive", "charge", "NA", '"CAR1"', "é", "x y", "\x00", "null"])
_LINE = st.one_of(
    st.builds(
        lambda v, t, s, z, n: ",".join([v, t, s, z, *n]),
        _TEXT,
        _TIME,
        _TEXT,
        _TEXT,
        st.lists(_NUMBER, min_size=7, max_size=7),
    ),
    st.builds(sample, st.integers(0, 59), _NUMBER),
    st.lists(_TEXT, max_size=13).map(",".join),
    st.sampled_from(["", " ", "\t", '"', ",,,,,,,,,,", ",,,,,,,,,,,"]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(_LINE, min_size=1, max_size=40), end=st.sampled_from(["\n", "\r\n"]))
def test_compiled_cells_are_those_of_the_careful_way(lines: list[str], end: str) -> None:
    """Same rows, refused rows with reason and text, and counts, whatever stands in the lines."""
    data = (end.join([HEAD, sample(0)]) + end).encode()
    rest = (end.join(lines) + end).encode()
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_BYTES", len(data))
        for least in (0, 1 << 40):
            patch.setattr(table, "MIN_BYTES", least)
            read = BytesSource(data + rest, table.counter(SPEC))
            batches = list(table.read(read, SPEC))
            rows = pl.concat([plain_rows(b.rows["samples"], "samples") for b in batches]).sort("line")
            texts = pl.concat([b.texts(rows["line"]) for b in batches]).sort("line")
            found.append((rows, pl.concat([b.rejects for b in batches]).sort("line"), texts, read.records))
    (fast_rows, fast_rejects, fast_texts, fast_read), (rows, rejects, texts, read) = found
    assert_frame_equal(fast_rows, rows)
    assert_frame_equal(fast_rejects, rejects)
    assert_frame_equal(fast_texts, texts)
    assert fast_read == read == rows.height + rejects.height


@pytest.mark.parametrize("spoilt", [None, "time", "state", "volts", "vehicle"])
def test_parquet_texts_by_their_numbers_are_those_of_the_careful_way(
    spoilt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, base = 300, datetime(2024, 5, 1)
    frame = pl.DataFrame({"vehicle": [f"CAR{i % 3}" for i in range(n)], "state": ["drive", "rest", None] * (n // 3)})
    frame = frame.with_columns(
        pl.Series("t", [base + timedelta(seconds=i) for i in range(n)]),
        pl.Series("v", [350.0 + i % 7 for i in range(n)]),
    )
    changes = {"time": ("t", datetime(1970, 1, 1)), "state": ("state", "flies"), "volts": ("v", float("inf"))}
    name, value = changes.get(spoilt or "", ("vehicle", None))
    if spoilt is not None:
        frame = frame.with_columns(frame[name].scatter(n - 2, value))
    sink = BytesIO()
    frame.write_parquet(sink)
    columns = {"vehicle_id": "vehicle", "time_utc": "t", "state": "state", "voltage_v": "v"}
    spec = SPEC.model_copy(
        update={
            "file": SPEC.file.model_copy(update={"type": "parquet"}),
            "columns": {to: SPEC.columns[to].model_copy(update={"from_": of}) for to, of in columns.items()},
        }
    )
    monkeypatch.setattr(table, "BATCH_ROWS", 100)
    quick = table.read_table(sink.getvalue(), spec)
    monkeypatch.setattr(table, "quick_rows", lambda *_: None)
    careful = table.read_table(sink.getvalue(), spec)
    assert_frame_equal(quick.rows, careful.rows)
    assert_frame_equal(quick.rejects, careful.rejects)
    assert quick.rejects.height == (spoilt is not None) and quick.rows_read == n


@given(
    data=st.lists(st.sampled_from([b"a", b"1,2", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\xef\xbb\xbf"])).map(b"".join),
    size=st.integers(1, 7),
)
def test_blocks_cut_anywhere_give_the_same_lines(data: bytes, size: int) -> None:
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    counter = LineCounter(header=False)
    for block in blocks:
        counter.feed(block)
    assert counter.total() == count_text_records(data, header=False)
    got = list(whole_lines(iter(blocks)))
    plain = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert b"".join(lines.data for lines in got) == plain
    assert [lines.first for lines in got] == [
        1 + sum(before.data.count(b"\n") for before in got[:i]) for i in range(len(got))
    ]
    assert sum(bool(line.strip()) for line in plain.split(b"\n")) == counter.total()


def test_a_chunk_limit_changes_parts_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates and contradictions across chunks of one file are found as within one."""
    rows = [sample(m, car=f"CAR{m % 2}") for m in range(40)] + [sample(3, car="CAR1"), sample(4, "351", "CAR0")]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    results, frames = [], []
    for name, block in (("one", 1 << 23), ("many", 200)):
        monkeypatch.setattr(taking, "CHUNK_ROWS", block // 40)
        monkeypatch.setattr(source, "BLOCK_BYTES", block)
        home = Settings(home=tmp_path / name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "id.key").write_text("ab" * 32)
        done = ingest(home, [path], "fadecast_samples")[0]
        results.append((done.rows_read, done.rows_loaded, done.rows_rejected, done.rows_duplicate))
        with open_warehouse(home.home) as wh:
            frames.append([wh.samples(v).rows() for v in wh.vehicles_with("samples")])
            assert (len(wh.parts("samples")) > 5) == (name == "many")
    assert results == [(42, 40, 1, 1)] * 2
    assert frames[0] == frames[1]


def test_endless_lines_and_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "UNPACK_FREE_BYTES", 1 << 20)
    home = Settings(home=tmp_path / "home")
    long = tmp_path / "long.csv"
    long.write_text("\n".join([HEAD, sample(0), "x" * (3 << 20), sample(1)]) + "\n")
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(HEAD.encode() + b"\n" + b"\x00" * (16 << 20)))
    results = ingest(home, [long, bomb], "fadecast_samples")
    assert [(r.status, r.rows_read, r.rows_loaded) for r in results] == [("loaded", 3, 2), ("refused", 0, 0)]
    assert results[1].error is not None and "unpacks to more than 250 times" in results[1].error
    with open_warehouse(home.home) as wh:
        assert wh.scalar("SELECT reason FROM raw_reject") == "line_too_long"


@pytest.mark.parametrize(("how", "said"), [("grow", "changed while it was read"), ("vanish", "went away")])
def test_a_file_that_changes_while_it_is_read_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEAD, sample(0)]) + "\n")
    read = Source.lines

    def disturbed(self: Source) -> Iterator[object]:
        yield from read(self)
        path.unlink() if how == "vanish" else path.write_text(path.read_text() + sample(1))

    monkeypatch.setattr(Source, "lines", disturbed)
    done = ingest(Settings(home=tmp_path / "home"), [path], "fadecast_samples")[0]
    assert done.status == "refused" and done.error is not None and said in done.error
    assert list((tmp_path / "home" / "raw").rglob("*.parquet")) == []


def test_a_full_disk_is_one_sentence_and_nothing_is_half_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEAD, sample(0)]) + "\n")
    home = Settings(home=tmp_path / "home")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parts, "write_samples", full)
        with pytest.raises(WarehouseError, match=r"No space left on device.*nothing of a\.csv was taken in"):
            ingest(home, [path], "fadecast_samples")
    assert ingest(home, [path], "fadecast_samples")[0].status == "loaded"


def test_a_source_says_why_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RefusedFile, match="cannot be read"):
        Source(tmp_path / "none.csv", LineCounter(header=True))
    with pytest.raises(RefusedFile, match="a folder; give one file"):
        Source(tmp_path, LineCounter(header=True))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedFile, match="write it to a file first"):
        Source(tmp_path / "pipe", LineCounter(header=True))
    assert fast.may_be_fast(SPEC) and not fast.may_be_fast(load_format("norway_home_charging"))
