"""Formats as data: what a wrong TOML says, and how cells, signs, units, states and clocks are read."""

from __future__ import annotations

import gzip
import io
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from warehouse.formatspec import FormatError, FormatSpec, load_format, packaged_formats, parse_format
from warehouse.readers.lines import RefusedFile
from warehouse.readers.localtime import AMBIGUOUS, NONEXISTENT
from warehouse.readers.source import read_bytes
from warehouse.readers.table import read_table

SAMPLES = """
name = "mine"
title = "Mine"
kind = "samples"
[columns]
vehicle_id = { from = "car" }
time_utc = { from = "t" }
current_a = { from = "i", sign = "charging_negative" }
"""
SESSIONS = """
name = "mine"
title = "Mine"
kind = "sessions"
[time]
format = "%d.%m.%Y %H:%M"
zone = "Europe/Oslo"
[sessions]
duration = "h"
[columns]
vehicle_id = { from = "car" }
kind = { value = "plugin" }
start_utc = { from = "a" }
end_utc = { from = "b" }
"""


def _spec(text: str = SAMPLES) -> FormatSpec:
    return parse_format(text, "mine.toml")


def test_packaged_formats_are_all_valid() -> None:
    wanted = {"norway_home_charging", "bmw_i3_1hz", "konstanz_hourly", "day_ahead", "air_temperature"}
    assert wanted | {"fadecast_samples", "fadecast_sessions"} <= set(packaged_formats())
    for name in packaged_formats():
        assert load_format(name).name == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title =", "titel ="), r"mine.toml: key 'title' is missing"),
        (('kind = "samples"', 'kind = "sample"'), r"mine.toml: key 'kind': input should be 'samples', .*got 'sample'"),
        (('"charging_negative"', '"negative"'), r"key 'columns.current_a.sign': .*charging_positive.*got 'negative'"),
        (
            (', sign = "charging_negative"', ""),
            r"key 'columns.current_a.sign' is missing: expected 'charging_positive'",
        ),
        (("current_a =", "currant_a ="), r"key 'columns.currant_a': expected one of vehicle_id, time_utc"),
        (
            ('{ from = "car" }', '{ frm = "car" }'),
            r"key 'columns.vehicle_id.frm' is not known; known there: from, value",
        ),
        (('{ from = "car" }', "{ scale = 2.0 }"), r"key 'columns.vehicle_id': expected either 'from'"),
        (('time_utc = { from = "t" }', ""), r"key 'columns.time_utc' is missing: kind 'samples' needs it"),
        (
            ("[columns]", '[time]\nzone = "Mars"\n[columns]'),
            r"key 'time.zone': expected an IANA time zone .*got 'Mars'",
        ),
        (("[columns]", '[file]\nencoding = "utf-16"\n[columns]'), r"key 'file.encoding': expected one of utf-8"),
        (
            ("[columns]", '[file]\ndelimiter = ";;"\n[columns]'),
            r"mine.toml: key 'file.delimiter': expected one printable",
        ),
        (("[columns]", '[file]\ndelimiter = "\u00a7"\n[columns]'), r"mine.toml: key 'file.delimiter': .*got '§'"),
        (('{ from = "i",', '{ from = "i", scale = 0,'), r"mine.toml: key 'columns.current_a.scale': .*other than 0"),
        (('{ from = "i",', '{ from = "i", scale = nan,'), r"mine.toml: key 'columns.current_a.scale': .*finite"),
        (('{ from = "i",', '{ from = "i", offset = inf,'), r"key 'columns.current_a.offset': .*finite number, got inf"),
        (('{ from = "i",', '{ from = "i", min = -inf,'), r"key 'columns.current_a.min': .*finite"),
        (('{ from = "i",', '{ from = "i", max = nan,'), r"key 'columns.current_a.max': .*finite"),
        (("[columns]", '[time]\nformat = "%H:%M"\n[columns]'), r"mine.toml: key 'time.format': .*got '%H:%M'"),
        (("[columns]", '[time]\nformat = "%Q"\n[columns]'), r"key 'time.format': expected 'iso' or a pattern"),
        (("[columns]", '[time]\nformat = "dd.mm.yyyy"\n[columns]'), r"key 'time.format': .*got 'dd.mm.yyyy'"),
        (("[columns]", "[colums]\nx = 1\n[columns]"), r"key 'colums' is not known; known there: name, title"),
        (("[columns]", "[columns"), r"mine.toml is not valid TOML: "),
    ],
)
def test_wrong_toml_gets_a_sentence_naming_the_key(change: tuple[str, str], said: str) -> None:
    with pytest.raises(FormatError, match=said) as caught:
        _spec(SAMPLES.replace(*change))
    assert "\n" not in str(caught.value)


def test_unknown_format_and_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="There is no format 'nope'; give one of air_temperature"):
        load_format("nope")
    with pytest.raises(FormatError, match="cannot be read"):
        load_format(tmp_path / "nope.toml")
    (tmp_path / "own.toml").write_text(SAMPLES)
    assert load_format(tmp_path / "own.toml").columns["current_a"].sign == "charging_negative"


def test_sign_units_and_offset() -> None:
    text = SAMPLES + 'battery_temp_c = { from = "f", scale = 0.5555555555555556, offset = -17.77777777777778 }\n'
    got = read_table(b"car,t,i,f\nA,2024-01-01T00:00:00Z,-5,68\n", _spec(text))
    assert got.rows["current_a"].to_list() == [5.0], "discharge positive in the file becomes charging positive"
    assert got.rows["battery_temp_c"].to_list() == pytest.approx([20.0])


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-06-01T12:00:00Z", datetime(2024, 6, 1, 12)),
        ("2024-06-01 12:00", datetime(2024, 6, 1, 12)),
        ("2024-06-01T12:00:00.250+02:00", datetime(2024, 6, 1, 10, 0, 0, 250_000)),
        ("2024-06-01T12:00:00-0330", datetime(2024, 6, 1, 15, 30)),
    ],
)
def test_iso_times_in_their_spellings(text: str, utc: datetime) -> None:
    data = f"car,t,i\nA,{text},1\nB,2024-06-01T00:00:00Z,1\n".encode()
    assert read_table(data, _spec()).rows["time_utc"].to_list() == [utc, datetime(2024, 6, 1)]


def test_offset_wins_over_the_formats_zone() -> None:
    spec = _spec(SAMPLES.replace("[columns]", '[time]\nzone = "Europe/Oslo"\n[columns]'))
    got = read_table(b"car,t,i\nA,2024-06-01T12:00:00,1\nA,2024-06-01T12:00:00Z,1\n", spec)
    assert got.rows["time_utc"].to_list() == [datetime(2024, 6, 1, 10), datetime(2024, 6, 1, 12)]


def test_every_damage_has_its_reason() -> None:
    lines = [
        "A,2024-01-01T00:00:00Z,1",
        "A,2024-01-01T00:00:00Z",  # cut off
        "A,yesterday,1",
        "A,1970-01-01T00:00:10Z,1",
        ",2024-01-01T00:00:00Z,1",
        "A,2024-01-01T00:00:00Z,one",
        "A,2024-01-01T00:00:00Z,9e9",
        "A,2024-01-01T00:00:00Z,inf",
        'A,"2024-01-01T00:00:00Z,1',
        "A,,1",
        "A\x00,2024-01-01T00:00:00Z,1",
        "",
        '"B,C",2024-01-01T00:00:00Z,2',
    ]
    got = read_table(("car,t,i\r\n" + "\r\n".join(lines)).encode(), _spec())
    assert got.rows_read == 12 == got.rows.height + got.rejects.height
    assert got.rows["vehicle_id"].to_list() == ["A", "B,C"]
    assert got.rows["line"].to_list() == [2, 14]
    assert dict(got.rejects.select("line", "reason").rows()) == {
        3: "wrong_field_count",
        4: "bad_time",
        5: "impossible_time",
        6: "missing_owner",
        7: "bad_number",
        8: "impossible_value",
        9: "bad_number",
        10: "bad_quotes",
        11: "missing_time",
        12: "bad_characters",
    }


def test_a_clock_that_jumps_a_century_does_not_move_the_as_of_day() -> None:
    rows = [f"A,2024-01-01T00:00:{s:02d}Z,1\n" for s in range(5)] + ["A,2088-01-01T00:00:00Z,1\n"]
    got = read_table(("car,t,i\n" + "".join(rows)).encode(), _spec())
    assert got.rejects.select("line", "reason").rows() == [(7, "impossible_time")]


def test_decimal_comma_takes_no_thousands() -> None:
    spec = _spec(SAMPLES.replace("[columns]", '[file]\ndelimiter = ";"\ndecimal = ","\n[columns]'))
    got = read_table(b"car;t;i\nA;2024-01-01T00:00:00Z;1,5\nA;2024-01-01T00:00:01Z;1.500\n", spec)
    assert got.rows["current_a"].to_list() == [-1.5]
    assert got.rejects["reason"].to_list() == ["bad_number"]


def test_undecodable_lines_are_refused_one_by_one() -> None:
    got = read_table(b"car,t,i\nA,2024-01-01T00:00:00Z,1\nM\xfcller,2024-01-01T00:00:00Z,1\n", _spec())
    assert got.rejects.select("line", "reason").rows() == [(3, "bad_characters")]
    assert "ller" not in got.rejects["raw_text"][0]
    spec = _spec(SAMPLES.replace("[columns]", '[file]\nencoding = "latin-1"\n[columns]'))
    assert read_table(b"car,t,i\nM\xfcller,2024-01-01T00:00:00Z,1\n", spec).rows["vehicle_id"].to_list() == ["Müller"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty"),
        (b"\n\n  \n", "The file is empty"),
        (b"a,b\n1,2\n", "Column 'car' of format mine is not in the file; it has: a, b"),
        (b"car,t,i,i\n", "names column 'i' twice"),
        ("car,t,i\n".encode("utf-16"), "UTF-16"),
        (b"PAR1xxxx", "Parquet, but the format expects text"),
        (b"\x00\x01\x02", "not a header"),
    ],
)
def test_useless_files_are_refused_in_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(RefusedFile, match=said):
        read_table(data, _spec())


@pytest.mark.parametrize("pattern", ["%F %T", "%s", "%Y-%m-%dT%H:%M:%S%z", "%m/%d/%y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f"])
def test_time_patterns_that_can_be_read_are_taken(pattern: str) -> None:
    assert _spec(SAMPLES.replace("[columns]", f'[time]\nformat = "{pattern}"\n[columns]')).time.format == pattern


def test_compressed_files_and_damaged_ones(tmp_path: Path) -> None:
    data = b"car,t,i\nA,2024-01-01T00:00:00Z,1\n" * 50
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    zstd = pa.Codec("zstd").compress(data, asbytes=True)
    (tmp_path / "a.zst").write_bytes(zstd)
    assert read_bytes(tmp_path / "a.gz") == data == read_bytes(tmp_path / "a.zst")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(data)[:-12])
    (tmp_path / "cut.zst").write_bytes(zstd[:-12])
    (tmp_path / "bad.gz").write_bytes(gzip.compress(data)[:20] + b"\xff" * 20)
    for name in ("cut.gz", "cut.zst", "bad.gz"):
        with pytest.raises(RefusedFile, match=r"cut off or damaged|cannot be read"):
            data_or_refused = read_bytes(tmp_path / name)
            assert data_or_refused != data


def test_hours_that_exist_twice_are_decided_by_order() -> None:
    spec = _spec(SAMPLES.replace("[columns]", '[time]\nzone = "Europe/Oslo"\n[columns]'))
    clock = ["01:30", "02:10", "02:40", "02:10", "02:40", "03:10"]
    data = "car,t,i\n" + "".join(f"A,2019-10-27 {c},1\n" for c in clock)
    utc = read_table(data.encode(), spec).rows["time_utc"].to_list()
    wanted = ["23:30", "00:10", "00:40", "01:10", "01:40", "02:10"]
    assert [t.strftime("%H:%M") for t in utc] == wanted


def test_sessions_over_clock_changes_are_decided_by_their_length() -> None:
    rows = [
        "A;27.10.2019 01:00;27.10.2019 02:30;2.5",  # second 02:30
        "B;27.10.2019 01:00;27.10.2019 02:30;1.5",  # first 02:30
        "C;31.03.2019 01:30;31.03.2019 02:15;0.75",  # the clock was not put forward
        "D;31.03.2019 00:30;31.03.2019 03:30;2.0",
        "E;27.10.2019 01:00;27.10.2019 05:00;4.0",  # no length fits: flagged
    ]
    spec = _spec(SESSIONS.replace("[sessions]", '[file]\ndelimiter = ";"\n[sessions]'))
    got = read_table(("car;a;b;h\n" + "\n".join(rows)).encode(), spec).rows
    hours = ((got["end_utc"] - got["start_utc"]).dt.total_minutes() / 60).to_list()
    assert hours == [2.5, 1.5, 0.75, 2.0, 5.0]
    flags = got["flags"].to_list()
    assert flags == [[AMBIGUOUS], [AMBIGUOUS], [NONEXISTENT], [], ["duration_disagrees"]]


def test_session_rows_that_cannot_be() -> None:
    spec = load_format("fadecast_sessions")
    head = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
    rows = [
        "A,1,charge,2024-01-01T10:00:00Z,2024-01-01T09:00:00Z,5,,20,50",
        "A,2,charge,2024-01-01T10:00:00Z,2026-01-01T09:00:00Z,5,,20,50",
        "A,3,holiday,2024-01-01T10:00:00Z,2024-01-01T12:00:00Z,5,,20,50",
        "A,4,export,2024-01-01T10:00:00Z,2024-01-01T12:00:00Z,-5,,20,50",
        "A,5,export,2024-01-01T10:00:00Z,2024-01-01T12:00:00Z,,5,120,50",
        "A,6,plugin,2024-01-01T10:00:00Z,,,,,",
    ]
    got = read_table((head + "\n".join(rows)).encode(), spec)
    reasons = ["negative_duration", "impossible_duration", "bad_value", "impossible_value", "impossible_value"]
    assert got.rejects["reason"].to_list() == reasons
    assert got.rows["flags"].to_list() == [["open"]]


def test_wide_air_temperature_and_long(tmp_path: Path) -> None:
    frame = pl.DataFrame({"720 A": [1.0] * 8760, "721 B'C": [2.0] * 8759 + [None]})
    sink = io.BytesIO()
    frame.write_parquet(sink)
    got = read_table(sink.getvalue(), load_format("air_temperature"))
    assert got.rows_read == 8760
    assert got.rows.height == 2 * 8760 - 1
    assert got.rows["time_utc"].max() == datetime(2001, 12, 31, 23)
    assert got.rows["typical_year"].all()
    with pytest.raises(RefusedFile, match="8760 rows; the file has 10"):
        short = io.BytesIO()
        frame.head(10).write_parquet(short)
        read_table(short.getvalue(), load_format("air_temperature"))
    rows = ("00:00:00Z,1.5", "00:30:00Z,1.5", "02:00:00Z,")
    data = ("station,time_utc,air_temp_c\n" + "".join(f"X,2024-01-01T{row}\n" for row in rows)).encode()
    long = read_table(data, load_format("air_temperature_long"))
    assert long.rows.height == 1
    assert not long.rows["typical_year"].any()
    assert long.rejects["reason"].to_list() == ["not_on_the_hour", "missing_value"]


def test_prices_become_money_per_kwh() -> None:
    sink = io.BytesIO()
    times = pl.Series([datetime(2024, 1, 1), None]).dt.replace_time_zone("UTC")
    pl.DataFrame({"utc": times, "eur_mwh": [50.0, 0.0]}).write_parquet(sink)
    got = read_table(sink.getvalue(), load_format("day_ahead"))
    assert got.rows["price_money_per_kwh"].to_list() == pytest.approx([0.05])
    assert got.rejects.select("line", "reason").rows() == [(2, "missing_time")]


def test_house_load_without_the_car_never_negative() -> None:
    data = (
        b"utc,load_kwh,ev_kwh,pv_kwh\n2016-01-01 00:00:00+00:00,2.0,1.5,0\n2016-01-01 01:00:00+00:00,-0.2,0,0\n"
        b"2016-01-01 02:00:00+00:00,1.0,,0\n2016-01-01 03:00:00+00:00,,,0\n2016-01-01 04:00:00+00:00,-5,0,0\n"
    )
    got = read_table(data, load_format("konstanz_hourly"))
    assert got.rows["load_kwh"].to_list() == [0.5, 0.0, 1.0]
    assert got.rows["flag"].to_list() == [None, "negative_clipped", "subtracted_missing"]
    assert got.rejects["reason"].to_list() == ["missing_value", "impossible_value"]
