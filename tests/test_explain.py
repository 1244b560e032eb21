"""``ingest --explain``: known formats are named, others proposed with reasons; a proposal is taken as it stands."""

from __future__ import annotations

import gzip
import io
import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps.explain import explain_file, read_head
from pipelines.steps.intake import ingest
from warehouse.explain import Explanation, propose, recognise
from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE
from warehouse.explaining.shape import table_shape
from warehouse.explaining.summertime import zone_of
from warehouse.explaining.times import read_clock
from warehouse.formatspec import load_format, parse_format
from warehouse.readers.choose import read_any

SAMPLES = Path(__file__).parent / "data"
OWN = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"


def _own_rows() -> str:
    rows: list[str] = []
    for i in range(40):
        time = datetime(2024, 5, 1) + timedelta(minutes=i)
        state, volts, amps, soc, power = "charge", 370 + 0.2 * i, 18.5, 50.0 + i, 7.1
        if i >= 20:
            state, volts, amps, soc, power = "export", 366.0, -15.2, 90.0 - i, -5.6
        cells = f"s1,{state},{volts:.1f},{amps},{soc:.1f},21.5,15.0,{power},{10_000 + i}"
        rows.append(f"CAR{i % 2},{time:%Y-%m-%dT%H:%M:%SZ},{cells}")
    return "\n".join([OWN, *rows]) + "\n"


def _parquet(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


def _hours(n: int) -> pl.Series:
    return pl.Series([datetime(2016, 1, 1) + timedelta(hours=h) for h in range(n)]).dt.replace_time_zone("UTC")


def _made() -> dict[str, tuple[str, bytes]]:
    """A small file of every packaged table format that has no file under tests/data."""
    sessions = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
    sessions += "C,1,plugin,2024-05-01T18:00:00Z,2024-05-02T07:00:00Z,20.5,4.0,40,80\n"
    norway = "session_ID;Garage_ID;User_ID;User_type;Shared_ID;Start_plugin;End_plugout;El_kWh;Duration_hours\n"
    norway += "1;AdO3;AdO3-4;Private;NA;21.12.2018 10:20;21.12.2018 10:23;0,3;0,05\n"
    hours = [f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in _hours(30)]
    n = 30
    trip = {"t_s": list(range(n)), "u_V": [360.0] * n, "i_A": [-5.0] * n, "t_batt_C": [20.0] * n, "soc_pct": [70.0] * n}
    return {
        "fadecast_samples": ("own.csv", _own_rows().encode()),
        "fadecast_sessions": ("s.csv", sessions.encode()),
        "fadecast_home": (
            "h.csv",
            ("load_series,time_utc,load_kwh,pv_kwh\n" + "".join(f"h,{t},0.5,0.1\n" for t in hours)).encode(),
        ),
        "fadecast_price": (
            "p.csv",
            ("price_series,time_utc,price_eur_per_kwh\n" + "".join(f"p,{t},0.1\n" for t in hours)).encode(),
        ),
        "air_temperature_long": (
            "a.csv",
            ("station,time_utc,air_temp_c\n" + "".join(f"x,{t},5.0\n" for t in hours)).encode(),
        ),
        "norway_home_charging": ("n.csv", norway.encode()),
        "konstanz_hourly": (
            "k.csv",
            ("utc,load_kwh,ev_kwh,pv_kwh\n" + "".join(f"{t},0.5,0,0\n" for t in hours)).encode(),
        ),
        "day_ahead": ("d.parquet", _parquet(pl.DataFrame({"utc": _hours(n), "eur_mwh": [50.0] * n}))),
        "air_temperature": ("t.parquet", _parquet(pl.DataFrame({"1 A": [5.0] * 8760, "2 B": [6.0] * 8760}))),
        "bmw_i3_1hz": ("b.parquet", _parquet(pl.DataFrame(trip | {"t_amb_C": [12.0] * n, "trip": ["A"] * n}))),
    }


_KNOWN = {
    "leaf_spy_152.csv": "leaf_spy",
    "leaf_spy_155.csv": "leaf_spy",
    "indra_v2h.jsonl": "indra_v2h",
    "indra_v2h_array.json": "indra_v2h",
    "bdf_sample.csv": "bdf",
    "bdf_labels_2024-05-01.csv": "bdf",
    "bmw_i3_10hz_TripA99.csv": "bmw_i3_10hz",
    "konstanz_cumulative.csv": "konstanz_cumulative",
}


@pytest.mark.parametrize("name", sorted(_KNOWN))
def test_sample_files_are_recognised(name: str, tmp_path: Path) -> None:
    found = explain_file(SAMPLES / name)
    assert (found.known, found.guesses[0].confidence) == (_KNOWN[name], CERTAIN)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((SAMPLES / name).read_bytes()))
    assert explain_file(packed).known == _KNOWN[name]


def test_every_packaged_table_format_is_recognised(tmp_path: Path) -> None:
    for format_name, (name, data) in _made().items():
        (tmp_path / name).write_bytes(data)
        assert explain_file(tmp_path / name).known == format_name


def _proposed(path: Path) -> tuple[Explanation, pl.DataFrame]:
    """The proposal for a file, known formats left aside, and what it reads."""
    found = propose(read_head(path))
    assert found.ready, found.toml
    return found, read_any(path.read_bytes(), parse_format(found.toml, "the proposal"), path.name).rows


@pytest.mark.parametrize(
    ("name", "format_name", "columns"),
    [
        (
            "bmw_i3_10hz_TripA99.csv",
            "bmw_i3_10hz",
            ("voltage_v", "current_a", "soc_frac", "battery_temp_c", "ambient_c"),
        ),
        ("bdf_sample.csv", "bdf", ("time_utc", "vehicle_id", "voltage_v", "current_a", "session_ref", "ambient_c")),
        ("indra_v2h.jsonl", "indra_v2h", ("time_utc", "vehicle_id", "soc_frac", "power_kw", "energy_in_register_kwh")),
        ("konstanz_cumulative.csv", "konstanz_cumulative", ("time_utc", "pv_kwh")),
        ("leaf_spy_152.csv", "leaf_spy", ("vehicle_id", "voltage_v", "current_a", "soc_frac", "odometer_km")),
    ],
)
def test_a_proposal_reads_what_the_packaged_format_reads(name: str, format_name: str, columns: tuple[str, ...]) -> None:
    _, rows = _proposed(SAMPLES / name)
    known = read_any((SAMPLES / name).read_bytes(), load_format(format_name), name).rows
    lost = 0
    if format_name == "leaf_spy":
        # Only its own format knows its defects, and that the clock stands in where the epoch time is empty.
        known, lost = known.filter(pl.col("flag").is_null()), 1
    both = known.join(rows, on="line", suffix="_new")
    assert both.height == known.height - lost
    for column in columns:
        one, two = both[column], both[f"{column}_new"]
        assert two.to_list() == (
            pytest.approx(one.to_list(), nan_ok=True) if one.dtype == pl.Float64 else one.to_list()
        )


def test_own_format_under_foreign_names_gives_the_same_rows(tmp_path: Path) -> None:
    frame = pl.read_csv(io.StringIO(_own_rows()))
    german = pl.DataFrame(
        {
            "Fahrzeug": frame["vehicle"],
            "Zeitstempel": frame["time_utc"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.strftime("%d.%m.%Y %H:%M:%S"),
            "Ladestand [%]": frame["soc_pct"],
            "Batteriespannung [V]": frame["voltage_v"],
            "Batteriestrom [mA]": frame["current_a"] * -1000,
            "Ladeleistung [W]": frame["power_kw"] * 1000,
            "Umgebungstemperatur [°C]": frame["ambient_c"],
            "Kilometerstand": frame["odometer_km"],
        }
    )
    text = german.write_csv(separator=";", decimal_comma=True)
    path = tmp_path / "wallbox.csv"
    path.write_bytes(("Export der Wallbox;;;;;;;\n" + text).encode("latin-1"))
    (tmp_path / "own.csv").write_text(_own_rows())
    out = tmp_path / "mine.toml"
    done = CliRunner().invoke(app, ["ingest", "--explain", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    results = {}
    for home, file, fmt in (("a", tmp_path / "own.csv", "fadecast_samples"), ("b", path, str(out))):
        (taken,) = ingest(Settings(home=tmp_path / home), [file], fmt)
        # The export's title line is understood: it counts as loaded.
        assert (taken.status, taken.rows_loaded) == ("loaded", 40 if home == "a" else 41)
        parts = sorted((tmp_path / home / "raw" / "samples").glob("*.parquet"))
        results[home] = pl.concat([pl.read_parquet(p) for p in parts]).sort("time_utc")
    for column in ("time_utc", "voltage_v", "current_a", "soc_frac", "power_kw", "ambient_c", "odometer_km"):
        one, two = (results[home][column].to_list() for home in "ab")
        assert two == (one if column == "time_utc" else pytest.approx(one)), column


def _drive(sign: float, soc: bool) -> bytes:
    lines, charge = [], 60.0
    for i in range(200):
        amps = -40 - 60 * math.sin(i / 7)
        charge += amps / 400
        cells = [f"2024-05-01 10:{i // 60:02d}:{i % 60:02d}", f"{sign * amps:.1f}", f"{380 + 0.1 * amps:.2f}"]
        lines.append(",".join([*cells, *([f"{charge:.1f}"] if soc else [])]))
    return ("time,current,voltage" + (",soc" if soc else "") + "\n" + "\n".join(lines)).encode()


@pytest.mark.parametrize("soc", [True, False])
@pytest.mark.parametrize(("sign", "said"), [(1.0, "charging_positive"), (-1.0, "charging_negative")])
def test_sign_of_current_by_soc_and_by_voltage(sign: float, said: str, soc: bool, tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_bytes(_drive(sign, soc))
    found = explain_file(path)
    (guess,) = [g for g in found.guesses if g.what == "sign of current"]
    assert (guess.value, guess.confidence) == (said, CERTAIN)
    assert ("SOC" in guess.reason) == soc
    zone = next(g for g in found.guesses if g.what == "time zone")
    assert zone.confidence == UNKNOWN, "nothing tells the zone of these times"


def _local_log(zone: str, first: datetime, hours: int, minutes: int) -> bytes:
    """Clock times of a zone, in the order of the log, and a plausible current."""
    n = hours * 60 // minutes
    utc = pl.Series([first + timedelta(minutes=minutes * i) for i in range(n)]).dt.replace_time_zone("UTC")
    clock = utc.dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d %H:%M:%S").to_list()
    rows = (f"{t},{5 + i % 3},{40 + i % 20}\n" for i, t in enumerate(clock))
    return ("time,current_a,soc\n" + "".join(rows)).encode()


@pytest.mark.parametrize("minutes", [1, 15, 60])
@pytest.mark.parametrize(
    ("zone", "first", "value", "sure", "said"),
    [
        ("Europe/Berlin", datetime(2024, 3, 29), "Europe/Berlin", LIKELY, "2024-03-31 02:00 is missing"),
        ("Europe/Berlin", datetime(2024, 10, 25), "Europe/Berlin", LIKELY, "2024-10-27 02:00 is there twice"),
        ("Europe/London", datetime(2024, 10, 25), "Europe/London", LIKELY, "2024-10-27 01:00 is there twice"),
        ("Europe/Athens", datetime(2024, 3, 29), "Europe/Helsinki", LIKELY, "2024-03-31 03:00 is missing"),
        ("America/Chicago", datetime(2024, 11, 1), "America/New_York", LIKELY, "write your own zone"),
        ("Australia/Sydney", datetime(2024, 4, 5), "Australia/Sydney", LIKELY, "2024-04-07 02:00 is there twice"),
        ("UTC", datetime(2024, 3, 29), "UTC", UNSURE, "as it would be in Europe/Berlin"),
        ("UTC", datetime(2024, 10, 25), "UTC", UNSURE, "a zone without summer time"),
        ("Europe/Berlin", datetime(2024, 6, 1), "UTC", UNKNOWN, "no day on which clocks change"),
    ],
)
def test_days_on_which_clocks_change_tell_the_zone(
    zone: str, first: datetime, value: str, sure: str, said: str, minutes: int, tmp_path: Path
) -> None:
    path = tmp_path / "local.csv"
    path.write_bytes(_local_log(zone, first, 100, minutes))
    found = explain_file(path)
    guess = next(g for g in found.guesses if g.what == "time zone")
    assert (guess.value, guess.confidence) == (value, sure)
    assert said in guess.reason
    assert said in found.toml and f'zone = "{value}"' in found.toml


def test_a_gap_of_the_logger_is_no_change_of_the_clock() -> None:
    hours = [datetime(2024, 3, 29) + timedelta(hours=h) for h in range(100)]
    gap = [h for h in hours if h.hour != 2]  # every night
    found = zone_of(pl.Series(gap))
    assert found is None or found.value == "UTC"
    year = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(8784)]
    both = [h for h in year if h != datetime(2024, 3, 31, 2)]
    found = zone_of(pl.Series(both))
    assert found is not None and (found.value, found.confidence) == ("UTC", UNSURE), "put forward and never back"
    both.insert(both.index(datetime(2024, 10, 27, 3)), datetime(2024, 10, 27, 2))
    found = zone_of(pl.Series(both))
    assert found is not None and (found.value, found.confidence) == ("Europe/Berlin", CERTAIN)


def test_what_cannot_be_told_is_left_open(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-01T10:{m:02d}:00Z,5.0,50\n" for m in range(30))
    path = tmp_path / "flat.csv"
    path.write_text("time,current,soc\n" + rows)
    found = explain_file(path)
    assert next(g for g in found.guesses if g.what == "sign of current").confidence == UNKNOWN
    assert "\n# current_a = " in found.toml
    assert "current_a" not in parse_format(found.toml, "the proposal").columns
    filled = found.toml.replace("# current_a = ", "current_a = ")
    (tmp_path / "mine.toml").write_text(filled)
    assert "current_a" in load_format(tmp_path / "mine.toml").columns
    path.write_text("a,b\n1,2\n3,4\n")
    found = explain_file(path)
    assert not found.ready
    assert any(g.what == "time_utc" and g.confidence == UNKNOWN for g in found.guesses)


@pytest.mark.parametrize(
    ("cells", "pattern", "sure"),
    [
        (["13/05/2024 10:00", "14/05/2024 10:00"], "%d/%m/%Y %H:%M", CERTAIN),
        (["05/13/2024 10:00", "05/14/2024 10:00"], "%m/%d/%Y %H:%M", CERTAIN),
        (["05/01/2024 10:00", "05/02/2024 10:00", "05/03/2024 10:00"], "%m/%d/%Y %H:%M", LIKELY),
        (["05/05/2024 10:00", "05/05/2024 10:01"], "%d/%m/%Y %H:%M", UNSURE),
        (["2024-05-01T10:00:00+02:00", "2024-05-01T10:00:10+02:00"], "iso", CERTAIN),
        (["1714550400000", "1714550401000"], "epoch", LIKELY),
        (["20240501100000", "20240501100010"], "%Y%m%d%H%M%S", CERTAIN),
    ],
)
def test_times_and_how_sure(cells: list[str], pattern: str, sure: str) -> None:
    clock = read_clock("t", cells)
    assert clock is not None
    assert (clock.keys["format"], clock.guesses[0].confidence) == (pattern, sure)


def test_shape_of_a_table() -> None:
    shape = table_shape("name\tTemp °C\nx\t1,5\ny\t--\nz\t2,5\n".encode("latin-1"), whole=True)
    assert shape is not None
    assert shape.file["delimiter"] == "\t"
    assert (shape.file["encoding"], shape.decimal) == ("latin-1", ",")
    assert "--" in shape.file["null_values"]  # type: ignore[operator]
    assert table_shape(b"just words\nand no table\n", whole=True) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "is empty"), (b"\x00\x01\x02" * 99, "binary"), (b"only words here\nand more\n", "is no table")],
)
def test_files_of_no_use_get_a_sentence(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        explain_file(path)
    path.write_bytes(gzip.compress(_own_rows().encode())[:100])
    with pytest.raises(UserError, match="cut off or damaged"):
        explain_file(path)
    with pytest.raises(UserError, match="cannot be read"):
        explain_file(tmp_path / "nowhere.csv")


def test_command_names_a_known_format_and_gives_json(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["ingest", "--explain", str(SAMPLES / "leaf_spy_152.csv"), "--json"])
    body = json.loads(done.stdout)
    assert (body["format"], body["ready"], body["rows_read"], body["rows_good"]) == ("leaf_spy", True, 30, 29)
    path = tmp_path / "drive.csv"
    path.write_bytes(_drive(1.0, soc=True))
    done = runner.invoke(app, ["ingest", "--explain", str(path), "--json"])
    body = json.loads(done.stdout)
    assert body["format"] is None
    assert 'current_a = { from = "current", sign = "charging_positive" }' in body["toml"]
    assert {g["confidence"] for g in body["guesses"]} <= {CERTAIN, LIKELY, UNSURE, UNKNOWN}
    assert all(g["reason"] for g in body["guesses"])


def test_patterns_and_folders_name_files(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "may"
    logs.mkdir(parents=True)
    head, *rows = _own_rows().splitlines()
    for k in range(3):
        (logs / f"{k}.csv").write_text("\n".join([head, *rows[k * 10 : k * 10 + 10]]) + "\n")
    (logs / "notes.txt").write_text("not a log")
    settings = Settings(home=tmp_path / "home")
    results = ingest(settings, [tmp_path / "logs" / "**" / "*.csv"], "fadecast_samples")
    assert [Path(r.path).name for r in results] == ["0.csv", "1.csv", "2.csv"]
    assert [r.rows_loaded for r in results] == [10, 10, 10]
    again = ingest(settings, [tmp_path / "logs"], "fadecast_samples")
    assert [r.status for r in again] == ["known", "known", "known", "refused"]
    with pytest.raises(Exception, match="No files found"):
        ingest(settings, [tmp_path / "*.zip"], "fadecast_samples")


@pytest.mark.parametrize(
    ("more", "wrapped", "version"),
    [
        ({}, "", "ocpp_201"),
        ({}, "object", "ocpp_201"),
        ({"operationMode": "ChargingOnly"}, "", "ocpp_21"),
        ({"tariffId": "T1"}, "text", "ocpp_21"),
        ({"measurand": "Display.TargetSOC"}, "object", "ocpp_21"),
    ],
)
def test_messages_of_a_charger_are_no_telemetry_of_another(
    tmp_path: Path, more: dict[str, str], wrapped: str, version: str
) -> None:
    more = dict(more)
    values = [{"value": 7000.0, "measurand": "Power.Active.Import"}]
    if "measurand" in more:
        values.append({"value": 80.0, "measurand": more.pop("measurand")})
    payload = {
        "eventType": "Updated",
        "timestamp": "2025-03-01T18:00:00Z",
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 1,
        "transactionInfo": {"transactionId": "t1"} | more,
        "meterValue": [
            {
                "timestamp": "2025-03-01T18:00:00Z",
                "sampledValue": values,
            }
        ],
    }
    frames = [[2, "m1", "TransactionEvent", payload], [3, "m1", {}]]
    shown = [json.dumps(f) if wrapped == "text" else f for f in frames]
    around = {"timestamp": "2025-03-01T18:00:00Z", "stationId": "CP1"}
    lines = [around | {"message": f} if wrapped else f for f in shown]
    log = tmp_path / "CP1_log.jsonl"
    log.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    found = recognise(read_head(log))
    assert found is not None and found.known == version
    (said,) = [g for g in found.guesses if g.what == "version"]
    assert said.confidence == ("certain" if version == "ocpp_21" else "unsure")
    assert "either" in said.reason if version == "ocpp_201" else "2.1 alone" in said.reason
