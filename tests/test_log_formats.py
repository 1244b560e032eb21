"""Formats of the field by their sample files (tests/data): signs, units, defects, and the way there and back."""

from __future__ import annotations

import gzip
import io
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from warehouse import intake
from warehouse.checks import run_checks
from warehouse.formatspec import FormatError, FormatSpec, load_format, parse_format
from warehouse.readers.batch import REJECTS
from warehouse.readers.choose import read_any
from warehouse.readers.lines import RefusedFile
from warehouse.readers.table import TableResult
from warehouse.store import open_warehouse

SAMPLES = Path(__file__).parent / "data"
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real data (../shared/data) are not beside the checkout")


def take(name: str, format_name: str) -> TableResult:
    got = read_any((SAMPLES / name).read_bytes(), load_format(format_name), name)
    assert got.rows["line"].n_unique() + got.rejects.height + got.silent == got.rows_read
    return got


def reasons(got: TableResult) -> dict[int, str]:
    return dict(got.rejects.select("line", "reason").rows())


def row(got: TableResult, line: int) -> dict[str, object]:
    return got.rows.filter(pl.col("line") == line).to_dicts()[0]


def test_leaf_spy_scalings_and_signs() -> None:
    got = take("leaf_spy_152.csv", "leaf_spy")
    first = row(got, 2)
    assert first["vehicle_id"] == "SAMPLE-NOT-A-VIN-1"
    assert first["time_utc"] == datetime(2024, 4, 3, 16), "epoch time wins over the phone's clock (17:00)"
    assert first["soc_frac"] == pytest.approx(0.625), "SOC is percent times 10,000"
    assert first["current_a"] == pytest.approx(-38.0), "pack amps are positive when the pack is discharged"
    assert first["battery_temp_c"] == pytest.approx(16.0), "mean of T1, T2, T4; T3 says 'none'"
    assert first["ambient_c"] == pytest.approx(12.0), "53.6 degF"
    assert first["soh_frac"] == pytest.approx(0.9035)
    assert first["odometer_km"] == 41873.0
    charging = got.rows.filter(pl.col("state") == "charge")
    assert charging.height == 8
    assert (charging["current_a"] > 0).all()
    assert charging["soc_frac"].is_sorted()


def test_leaf_spy_defects() -> None:
    got = take("leaf_spy_152.csv", "leaf_spy")
    assert reasons(got) == {22: "wrong_field_count"}, "only the truncated line is lost"
    garbage = row(got, 16)
    assert (garbage["voltage_v"], garbage["current_a"], garbage["flag"]) == (None, None, "equal_volts_amps")
    assert garbage["soc_frac"] is not None, "the rest of a garbage row stays"
    assert row(got, 17)["soh_frac"] is None, "SOH = 0 means not read"
    assert row(got, 17)["flag"] is None
    assert (row(got, 18)["ambient_c"], row(got, 18)["flag"]) == (None, "defect_emptied"), "spike to 95 degC"
    assert row(got, 19)["flag"] is None, "a negative cell-pair voltage touches nothing that is read"
    assert (row(got, 20)["voltage_v"], row(got, 20)["flag"]) == (None, "defect_emptied"), "36 V of a pack of 96 pairs"
    assert row(got, 21)["flag"] is None, "a motor power spike touches nothing that is read"
    assert row(got, 23)["time_utc"] == datetime(2024, 4, 3, 17, 1, 24), "no epoch time: the clock as it stands"


@pytest.mark.parametrize("epoch", ["0", "x", "1e30", "-5"])
def test_a_row_whose_epoch_time_is_none_has_its_clocks_time_and_a_flag(epoch: str) -> None:
    name = "leaf_spy_152.csv"
    lines = (SAMPLES / name).read_text(encoding="utf-8").splitlines()
    at = lines[0].split(",").index("epoch time")
    cells = lines[1].split(",")
    cells[at] = epoch
    got = read_any("\n".join([lines[0], ",".join(cells), *lines[2:]]).encode(), load_format("leaf_spy"), name)
    torn, whole = row(got, 2), row(got, 3)
    assert (torn["time_utc"], torn["flag"]) == (datetime(2024, 4, 3, 17), "epoch_no_time"), "17:00 on the phone's clock"
    assert whole["flag"] is None and 23 not in reasons(got)
    assert row(got, 23)["flag"] is None, "an empty one is no time that is wrong"


def test_leaf_spy_columns_added_by_an_update() -> None:
    appended = take("leaf_spy_appended_155.csv", "leaf_spy")
    assert appended.rejects.height == 0
    assert appended.rows.height == 9, "five lines of 152 fields and four of 155 under one header"
    assert appended.rows.sort("line")["flag"].to_list() == [None] * 5 + ["columns_added"] * 4, (
        "counted on the data page"
    )
    new = take("leaf_spy_155.csv", "leaf_spy")
    assert (new.rows_read, new.rows.height, new.silent) == (10, 9, 1), "the header in the middle carries no reading"


def test_no_vin_and_no_position_is_kept(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "home") as wh:
        result = intake.take_in(wh, SAMPLES / "leaf_spy_152.csv", load_format("leaf_spy"))
        assert (result.rows_read, result.rows_loaded, result.rows_rejected) == (30, 29, 1)
        texts = wh.rows("SELECT raw_text FROM raw_reject")
        assert not [check.name for check in run_checks(wh) if not check.passed]
    for text in ("SAMPLE-NOT-A-VIN-1", "51 30.0000", "-0 07.0000"):
        assert all(text not in str(shown) for shown in texts)
        stored = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
        assert stored == []


def _refused_texts(lines: list[str], spec: FormatSpec) -> list[str]:
    got = read_any("\n".join(lines).encode(), spec, "log.csv")
    assert got.rejects.height == len(lines) - 1, "every line is refused"
    return got.rejects["raw_text"].to_list()


def test_refused_lines_with_fields_lost_or_added_keep_no_position(tmp_path: Path) -> None:
    header, line, *_ = (SAMPLES / "leaf_spy_152.csv").read_text().splitlines()
    fields = line.split(",")
    # The first field lost makes 151 fields, as many as another release writes; lost and truncated, added, all doubled.
    broken = [fields[1:], fields[1:100], [fields[0], "x", *fields[1:]], ["1", "2", *fields, *fields], fields[2:60]]
    texts = _refused_texts([header, *(",".join(some) for some in broken)], load_format("leaf_spy"))
    assert all("367.44" in text for text in texts[1:3]), "what is no position stays"
    for text in texts:
        assert "30.0000" not in text and "07.0000" not in text and "SAMPLE" not in text
    # A format of one's own that does not read the position, and does not name it as personal either.
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\ntitle = "own"\nkind = "samples"\n[time]\nformat = "iso"\n[columns]\n'
        'vehicle_id = { from = "car" }\ntime_utc = { from = "time" }\nsoc_frac = { from = "soc" }\n'
    )
    rows = [
        "C1,2024-01-01T00:00:00Z,0.5,47.53,13.1234,9",
        "C1,2024-01-01T00:00:00Z,0.5,47.53",
        "C1,0.5,-47.53163,13.12,1,2",
    ]
    texts = _refused_texts(["car,time,soc,lat,lon", *rows], load_format(own))
    assert all("47.53" not in text and "13.12" not in text for text in texts)
    assert "2024-01-01T00:00:00Z" in texts[0], "times stay"


def test_indra_signs_counters_and_missing_keys() -> None:
    got = take("indra_v2h.jsonl", "indra_v2h")
    assert reasons(got) == {21: "bad_json", 34: "missing_time"}
    # The answer to /devices, the telemetry without data, and the active transaction carry no reading.
    assert got.silent == 3
    assert got.rows["vehicle_id"].unique().to_list() == ["SAMPLE-DEVICE-1"]
    assert got.rows["logger"].unique().to_list() == ["charger"]
    first, last = got.rows.row(0, named=True), got.rows.row(-1, named=True)
    assert first["power_kw"] == pytest.approx(6.9), "load of the car is positive"
    assert last["power_kw"] == pytest.approx(-5.6), "discharge is negative"
    assert first["energy_in_register_kwh"] == pytest.approx(4213.558), "Wh counter to the car"
    gained = last["energy_out_register_kwh"] - first["energy_out_register_kwh"]
    assert gained == pytest.approx(20 * 5.6 / 120, abs=0.001), "what the power says over 20 polls of 30 s"
    assert got.rows["soc_frac"].null_count() == 2, "keys that are missing are empty, the row stays"
    assert got.rows["voltage_v"].null_count() == got.rows.height, "the mains' voltage is no pack voltage"


def test_indra_array_documents_and_dump_give_the_same() -> None:
    spec = load_format("indra_v2h")
    array = take("indra_v2h_array.json", "indra_v2h")
    documents = json.loads((SAMPLES / "indra_v2h_array.json").read_text())
    one_line = json.dumps(documents).encode()
    after_another = "\n".join(json.dumps(d, indent=2) for d in documents).encode()
    dump = "\n".join(json.dumps({"data": [{"deviceUID": "D"}], "stats": d}) for d in documents).encode()
    for data in (one_line, after_another):
        got = read_any(data, spec, "indra_v2h_array.json")
        assert got.rows.equals(array.rows)
        assert got.rejects.select("line", "reason").equals(array.rejects.select("line", "reason"))
    got = read_any(dump, spec, "x.jsonl")
    assert got.rows.drop("vehicle_id").equals(array.rows.drop("vehicle_id"))
    assert got.rows["vehicle_id"].unique().to_list() == ["D"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"time,soc\n1,2\n", "does not begin with a JSON object"),
        (b"", "empty"),
        (b"   \n ", "empty"),
    ],
)
def test_json_files_of_no_use(data: bytes, said: str) -> None:
    with pytest.raises(RefusedFile, match=said):
        read_any(data, load_format("indra_v2h"), "x.json")


@pytest.mark.parametrize(
    "data",
    [
        b'[{"time": "2024-05-01T00:00:00Z", "data": {"soc": 50}}, {"time": "2024-05-01T00:01:00Z", "data": {"so',
        b'[{"time": "2024-05-01T00:00:00Z", "data": {"soc": 50}}] trailing',
        b'{"time": "2024-05-01T00:00:00Z", "data": {"soc": 50}}\n{"time": NaN, "data": {"soc": [1]}}\n[1, 2]\nnull\n',
        b'{"time": "2024-05-01T00:00:00Z", "data": {"soc": 50, "x": "\\ud800 }{"}}\n' + b"[" * 5000,
    ],
)
def test_damaged_json_costs_itself_only(data: bytes) -> None:
    got = read_any(data, load_format("indra_v2h"), "charger.json")
    assert got.rows["soc_frac"].to_list()[0] == 0.5
    assert got.rows["line"].n_unique() + got.rejects.height + got.silent == got.rows_read
    assert got.rejects.height >= 1
    assert set(got.rejects.columns) == set(REJECTS)


def test_bdf_names_labels_and_parquet_say_the_same() -> None:
    names = take("bdf_sample.csv", "bdf")
    assert names.rows["time_utc"][0] == datetime(2024, 5, 1, 8), "unix time wins"
    assert names.rows["current_a"][0] == 2.5, "a charging current is positive"
    assert names.rows["battery_temp_c"][0] == pytest.approx(24.9), "mean of the two surface temperatures"
    assert names.rows["flag"].null_count() == names.rows.height
    labels = take("bdf_labels_2024-05-01.csv", "bdf")
    assert labels.rows["time_utc"][0] == datetime(2024, 5, 1), "the date in the file's name"
    assert labels.rows["flag"].unique().to_list() == ["date_assumed"]
    same = ["voltage_v", "current_a", "session_ref"]
    assert labels.rows.select(same).equals(names.rows.select(same))
    sink = io.BytesIO()
    pl.read_csv(SAMPLES / "bdf_sample.csv").write_parquet(sink)
    parquet = read_any(sink.getvalue(), load_format("bdf"), "bdf_sample.parquet")
    keys = [c for c in names.rows.columns if c not in ("line", "battery_temp_c")]
    assert parquet.rows.select(keys).equals(names.rows.select(keys))
    assert parquet.rows["battery_temp_c"].to_list() == pytest.approx(names.rows["battery_temp_c"].to_list())


def test_bmw_10hz_takes_the_displayed_soc() -> None:
    got = take("bmw_i3_10hz_TripA99.csv", "bmw_i3_10hz")
    assert got.rows["soc_frac"][0] == pytest.approx(0.699), "displayed 69.9 %; the BMS's own is 61.1 %"
    assert got.rows["session_ref"][0] == "TripA99"
    assert got.rows["time_utc"][1] == datetime(2018, 6, 1, 12, 0, 0, 100_000)
    assert (got.rows["current_a"] < 0).any() and (got.rows["current_a"] > 0).any()


def test_cumulative_meters_gaps_and_resets() -> None:
    got = take("konstanz_cumulative.csv", "konstanz_cumulative")
    assert reasons(got) == {2: "meter_gap", 32: "missing_value", 33: "meter_gap", 42: "meter_reset"}
    evening = row(got, 21)
    assert evening["load_kwh"] == pytest.approx(0.4 + 0.3 * np.sin(19) ** 2, abs=0.002), "the car's 1.2 kWh are off"
    assert row(got, 22)["flag"] == "interpolated"
    assert row(got, 23)["flag"] is None, "another device was interpolated"
    assert row(got, 52)["flag"] == "subtracted_missing", "the car's meter was not read"
    assert row(got, 53)["flag"] == "meter_gap subtracted_missing"


def test_meters_do_not_feel_where_a_batch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = take("konstanz_cumulative.csv", "konstanz_cumulative")
    monkeypatch.setattr("warehouse.readers.source.BLOCK_BYTES", 700)
    parts = take("konstanz_cumulative.csv", "konstanz_cumulative")
    assert parts.rows.equals(whole.rows)
    assert parts.rejects.equals(whole.rejects)


@pytest.mark.data
@needs_data
def test_cumulative_konstanz_equals_the_hourly_file() -> None:
    hourly = _real("home/konstanz_house_2016_hourly.csv.gz", "konstanz_hourly").rows
    meters = _real("home/konstanz_house_cumulative_original.csv.gz", "konstanz_cumulative").rows
    meters = meters.filter(pl.col("time_utc").dt.year() == 2016)
    both = hourly.join(meters, on="time_utc", suffix="_meters")
    assert both.height == hourly.height == meters.height == 8705
    for name in ("load_kwh", "pv_kwh"):
        assert float((both[name] - both[f"{name}_meters"]).abs().max()) < 1e-9  # type: ignore[arg-type]


@pytest.mark.data
@needs_data
def test_bmw_10hz_original_agrees_with_the_1hz_drive() -> None:
    fine = _real("logs/bmw_i3_trip_a11_10hz_original.csv.gz", "bmw_i3_10hz").rows
    coarse = _real("logs/bmw_i3_trips_1hz.parquet", "bmw_i3_1hz").rows.filter(pl.col("session_ref") == "TripA11")
    assert fine.height == 14_245
    assert _integral(fine, "voltage_v") == pytest.approx(_integral(coarse, "voltage_v"), rel=0.002), "energy"
    assert _integral(fine, None) == pytest.approx(_integral(coarse, None), rel=0.001), "charge"
    seconds = [f.with_columns((pl.col("time_utc") - f["time_utc"][0]).alias("t")) for f in (fine, coarse)]
    both = seconds[0].join(seconds[1], on="t", suffix="_1hz")
    assert both.height == coarse.height
    differ = (both["soc_frac"] - both["soc_frac_1hz"]).abs()
    # Displayed SOC against BMS SOC / 0.875: the display stays near 100 % for a while after the start.
    assert float(differ.max()) < 0.03  # type: ignore[arg-type]
    assert float((both["battery_temp_c"] - both["battery_temp_c_1hz"]).abs().max()) <= 0.5  # type: ignore[arg-type]


def _integral(rows: pl.DataFrame, times: str | None) -> float:
    hours = (rows["time_utc"] - rows["time_utc"][0]).dt.total_microseconds().to_numpy() / 3.6e9
    flow = rows["current_a"].to_numpy() * (1.0 if times is None else rows[times].to_numpy())
    return float(np.trapezoid(flow, hours))


def _real(name: str, format_name: str) -> TableResult:
    data = (DATA / name).read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    return read_any(data, load_format(format_name), Path(name).name)


def test_keys_of_the_language() -> None:
    text = """
name = "mine"
title = "Mine"
kind = "samples"
[lines]
before = 1
after = 1
[columns]
vehicle_id = { file_name = "^(car[0-9]+)" }
time_utc = { from = "day", join = ["clock"] }
voltage_v = { from = "u", or_from = [{ from = "u_mv", scale = 0.001 }] }
power_kw = { from = "u_mv", times = ["i"], scale = 1e-6, sign = "charging_negative" }
soc_frac = { from = "soc", optional = true }
"""
    data = b"My logger\nday,clock,u_mv,i\n-,-,mV,A\n2024-05-01,10:00,400000,2\n2024-05-01,10:01,400000,-2\n"
    got = read_any(data, parse_format(text, "mine.toml"), "car7.csv")
    assert got.rows["vehicle_id"].to_list() == ["car7", "car7"]
    assert got.rows["time_utc"].to_list() == [datetime(2024, 5, 1, 10), datetime(2024, 5, 1, 10, 1)]
    assert got.rows["voltage_v"].to_list() == [400.0, 400.0]
    assert got.rows["power_kw"].to_list() == pytest.approx([-0.8, 0.8])
    assert (got.rows_read, got.silent) == (4, 2), "title and units are understood and carry no reading"
    with pytest.raises(RefusedFile, match="file's name does not hold"):
        read_any(data, parse_format(text, "mine.toml"), "other.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"^(car[0-9]+)"', '"^car"'), "columns.vehicle_id.file_name': expected a regular expression with one group"),
        (("before = 1", "before = -1"), "key 'lines.before'"),
        (("[lines]", '[elapsed]\ncolumn = "t"\n[lines]'), "key 'elapsed.base' is missing"),
        (("[lines]", '[[marks]]\ncolumn = "t"\ncontains = "("\nflag = "x"\n[lines]'), "expected a regular expression"),
    ],
)
def test_wrong_keys_get_a_sentence(change: tuple[str, str], said: str) -> None:
    text = """
name = "mine"
title = "Mine"
kind = "samples"
[lines]
before = 1
[columns]
vehicle_id = { file_name = "^(car[0-9]+)" }
time_utc = { from = "t" }
"""
    with pytest.raises(FormatError, match=said):
        parse_format(text.replace(*change), "mine.toml")


def test_damaged_parquet_is_refused_in_a_sentence() -> None:
    sink = io.BytesIO()
    pl.read_csv(SAMPLES / "bdf_sample.csv").write_parquet(sink)
    data = sink.getvalue()
    refused = 0
    for at in range(4, len(data), 97):
        broken = data[:at] + b"\xff\xfe\x00" + data[at + 3 :]
        try:
            got = read_any(broken, load_format("bdf"), "bdf.parquet")
            assert got.rows["line"].n_unique() + got.rejects.height == got.rows_read
        except RefusedFile:
            refused += 1
    assert refused > 5
