"""The way there and back: rows written as each format logs them are the same once taken in; OCPP samples."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from ocpp.exceptions import OCPPError
from ocpp.messages import Call, validate_payload

from tests.ocpp_messages import event, meter16, sampled16, taken_bytes, value
from warehouse import intake
from warehouse.formatspec import load_format
from warehouse.store import open_warehouse

SAMPLES = Path(__file__).parent / "data"
FIRST = datetime(2024, 5, 1)


def _frames(rows: pl.DataFrame, version: str) -> bytes:
    """A meter reading a row, as a station of the version sends it."""
    out = []
    for i, (t, soc, volts, amps, kw) in enumerate(
        rows.select("time_utc", "soc_frac", "voltage_v", "current_a", "power_kw").iter_rows()
    ):
        known = [
            (soc * 100, "SoC", "Percent", {"location": "EV"}),
            (volts, "Voltage", "V", {"location": "EV"}),
            (abs(amps), "Current.Import" if amps >= 0 else "Current.Export", "A", {"location": "EV"}),
            (abs(kw) * 1000, "Power.Active.Import" if kw >= 0 else "Power.Active.Export", "W", {}),
        ]
        if version == "ocpp_16":
            message = meter16(i, None, [sampled16(x, measurand=m, unit=u, **more) for x, m, u, more in known])
            message[3]["meterValue"][0]["timestamp"] = f"{t.isoformat()}Z"
        else:
            values = [value(x, m, u, **more) for x, m, u, more in known]
            message = json.loads(
                json.dumps(event("Updated", 0, i, values)).replace("2025-03-01T18:00:00.000000", t.isoformat())
            )
            message[1] = f"id-{i}"
        out.append(message)
    return "\n".join(map(json.dumps, out)).encode()


def _back(rows: pl.DataFrame) -> dict[str, bytes]:
    """Canonical rows written as each format would have logged them."""
    utc = rows["time_utc"]
    epoch = utc.dt.epoch("us") / 1e6
    leaf = pl.DataFrame(
        {
            "Date/Time": utc.dt.strftime("%m/%d/%Y %H:%M:%S"),
            "SOC": (rows["soc_frac"] * 1e6).round(0),
            "Pack Volts": rows["voltage_v"],
            "Pack Amps": -rows["current_a"],
            "Pack T1 C": rows["battery_temp_c"],
            "VIN": rows["vehicle_id"],
            "epoch time": epoch,
        }
    )
    bdf = pl.DataFrame(
        {
            "test_time_second": epoch - epoch[0],
            "unix_time_second": epoch,
            "voltage_volt": rows["voltage_v"],
            "current_ampere": rows["current_a"],
            "temperature_t1_celsius": rows["battery_temp_c"],
        }
    )
    bmw = pl.DataFrame(
        {
            "Time [s]": epoch - epoch[0],
            "Battery Voltage [V]": rows["voltage_v"],
            "Battery Current [A]": rows["current_a"],
            "Battery Temperature [°C]": rows["battery_temp_c"],
            "displayed SoC [%]": rows["soc_frac"] * 100,
        }
    )
    own = rows.with_columns(
        vehicle=rows["vehicle_id"],
        session=pl.lit("s1"),
        state=pl.lit(""),
        soc_pct=rows["soc_frac"] * 100,
        ambient_c=pl.lit(9.5),
        odometer_km=pl.lit(1000.0),
    ).with_columns(pl.col("time_utc").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    indra = [
        {"time": t.isoformat() + "Z", "deviceUID": v, "data": {"soc": s * 100, "powerToEv": p * 1000}}
        for t, v, s, p in rows.select("time_utc", "vehicle_id", "soc_frac", "power_kw").iter_rows()
    ]
    sink = io.BytesIO()
    bdf.write_parquet(sink)
    return {
        "leaf_spy": leaf.write_csv().encode(),
        "bdf": sink.getvalue(),
        "bmw_i3_10hz": bmw.write_csv(separator=";").encode("latin-1"),
        "fadecast_samples": own.write_csv().encode(),
        "indra_v2h": "\n".join(map(json.dumps, indra)).encode(),
        **{version: _frames(rows, version) for version in ("ocpp_16", "ocpp_201", "ocpp_21")},
    }


CARRIED = {
    "leaf_spy": ("soc_frac", "voltage_v", "current_a", "battery_temp_c"),
    "bdf": ("voltage_v", "current_a", "battery_temp_c"),
    "bmw_i3_10hz": ("soc_frac", "voltage_v", "current_a", "battery_temp_c"),
    "fadecast_samples": ("soc_frac", "voltage_v", "current_a", "battery_temp_c", "power_kw"),
    "indra_v2h": ("soc_frac", "power_kw"),
    **dict.fromkeys(("ocpp_16", "ocpp_201", "ocpp_21"), ("soc_frac", "voltage_v", "current_a", "power_kw")),
}


# Every kind of reader (CSV, Parquet, JSON, OCPP) in every packing.
PACKED = [(name, how) for name in ("leaf_spy", "bdf", "indra_v2h") for how in ("plain", "gz", "zst")]
PACKED += [
    ("bmw_i3_10hz", "plain"),
    ("fadecast_samples", "zst"),
    ("ocpp_16", "plain"),
    ("ocpp_201", "gz"),
    ("ocpp_21", "zst"),
]


@pytest.mark.parametrize(("format_name", "packed"), PACKED)
def test_canonical_to_format_to_canonical(format_name: str, packed: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    n = 50
    rows = pl.DataFrame(
        {
            "vehicle_id": ["battery"] * n,
            "time_utc": [FIRST + timedelta(seconds=second) for second in range(n)],
            "soc_frac": np.round(rng.uniform(0.1, 0.9, n), 6),
            "voltage_v": np.round(rng.uniform(330, 400, n), 2),
            "current_a": np.round(rng.uniform(-100, 100, n), 2),
            "battery_temp_c": np.round(rng.uniform(5, 35, n), 1),
            "power_kw": np.round(rng.uniform(-6, 6, n), 3),
        },
        schema_overrides={"time_utc": pl.Datetime("us")},
    )
    data = _back(rows)[format_name]
    if packed != "plain":
        data = gzip.compress(data) if packed == "gz" else pa.compress(data, "zstd", asbytes=True)
    path = tmp_path / ("battery_2024-05-01_TripA07.log" + ("" if packed == "plain" else f".{packed}"))
    path.write_bytes(data)
    with open_warehouse(tmp_path / "home") as wh:
        result = intake.take_in(wh, path, load_format(format_name))
        assert (result.status, result.rows_loaded, result.error) == ("loaded", n, None)
        back = pl.concat([pl.read_parquet(part) for part in wh.parts("samples")]).sort("time_utc")
    assert back["time_utc"].to_list() == rows["time_utc"].to_list()
    for name in rows.columns[2:]:
        if name in CARRIED[format_name]:
            assert back[name].to_list() == pytest.approx(rows[name].to_list(), abs=1e-9), name
        else:
            assert back[name].null_count() == n, f"{name} was not logged"


def test_hours_to_cumulative_meters_and_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = 48
    load, pv, car = (np.round(rng.uniform(0, top, n), 3) for top in (2.0, 4.0, 7.0))
    net = load + car - pv
    meters = {"grid_import": np.maximum(net, 0), "grid_export": np.maximum(-net, 0), "pv": pv, "ev": car}
    shown = {f"DE_KN_residential4_{k}": np.concatenate(([0.0], np.cumsum(v))).round(6) for k, v in meters.items()}
    times = [f"{(FIRST + timedelta(hours=h)).isoformat()}Z" for h in range(n + 1)]
    path = tmp_path / "house.csv"
    pl.DataFrame({"utc_timestamp": times, **shown, "interpolated_values": [""] * (n + 1)}).write_csv(path)
    with open_warehouse(tmp_path / "home") as wh:
        result = intake.take_in(wh, path, load_format("konstanz_cumulative"))
        assert (result.rows_loaded, result.rows_rejected) == (n, 1), "nothing stands before the first reading"
        back = pl.concat([pl.read_parquet(part) for part in wh.parts("home")]).sort("time_utc")
    assert back["load_kwh"].to_list() == pytest.approx(load, abs=1e-5)
    assert back["pv_kwh"].to_list() == pytest.approx(pv, abs=1e-5)


def test_own_sessions_and_back(tmp_path: Path) -> None:
    lines = ["vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct"]
    lines.append("CAR1,s1,plugin,2024-05-01T18:00:00Z,2024-05-02T06:00:00Z,12.5,4.25,40,62.5")
    lines.append("CAR1,s2,plugin,2024-05-02T18:00:00Z,,,,50,")
    path = tmp_path / "sessions.csv"
    path.write_text("\n".join(lines) + "\n")
    with open_warehouse(tmp_path / "home") as wh:
        assert intake.take_in(wh, path, load_format("fadecast_sessions")).rows_loaded == 2
        first, second = pl.concat([pl.read_parquet(part) for part in wh.parts("sessions")]).sort("start_utc").to_dicts()
    assert (first["session_ref"], first["end_utc"]) == ("s1", datetime(2024, 5, 2, 6))
    assert (first["energy_in_meter_kwh"], first["energy_out_meter_kwh"]) == (12.5, 4.25)
    assert (first["soc_start_frac"], first["soc_end_frac"]) == (0.4, 0.625)
    assert (second["end_utc"], second["energy_in_meter_kwh"]) == (None, None), "still plugged in"


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("ocpp_16.jsonl", {9: "bad_number", 10: "bad_message"}),
        ("ocpp_201.jsonl", {12: "impossible_time", 13: "bad_message"}),
        ("ocpp_21.json", {}),
    ],
)
def test_ocpp_samples(name: str, refused: dict[int, str]) -> None:
    data = (SAMPLES / name).read_bytes()
    spec = load_format(name.split(".")[0])
    got = taken_bytes(data, spec, name)
    assert dict(got["rejects"].select("line", "reason").rows()) == refused
    samples = got["samples"].sort("time_utc")
    (session,) = got["sessions"].to_dicts()
    if name == "ocpp_16.jsonl":
        assert samples["power_kw"].to_list() == [6.0, None, 6.0, 6.0], "2 kW on each of three phases"
        assert samples["energy_in_register_kwh"].to_list() == [1001.0, 1001.5, 1002.0, 1003.0]
        assert samples["flag"].to_list() == [None, "late_backfill", None, None], "arrived 90 minutes after it was taken"
        assert (session["session_ref"], session["energy_in_meter_kwh"], session["flags"]) == ("41", 5.0, [])
        return
    assert samples["power_kw"].to_list() == [12.0, 6.0, None if spec.name == "ocpp_21" else 0.0, -6.0, -9.0]
    assert samples["soc_frac"].to_list() == [0.5, 0.53, 0.55, 0.535, 0.51]
    assert (session["energy_in_meter_kwh"], session["energy_out_meter_kwh"]) == (3.0, 2.5)
    if spec.name == "ocpp_21":
        assert samples["state"].to_list() == [None, None, "rest", None, None], "the mode Idle, where no power is given"
        assert samples["current_a"].to_list() == [30.0, 15.0, 0.0, -15.0, -22.5]
        assert session["flags"] == ["interval_summed"], "intervals, no registers"
    else:
        assert samples["energy_out_register_kwh"].to_list() == [40.0, 40.0, 40.0, 41.0, 42.5]
        assert session["flags"] == []


def test_ocpp_samples_keep_to_the_specification() -> None:
    """Each request but the one that is broken on purpose is valid by the schemas of the `ocpp` package."""
    for name, version in (("ocpp_16.jsonl", "1.6"), ("ocpp_201.jsonl", "2.0.1"), ("ocpp_21.json", "2.1")):
        text = (SAMPLES / name).read_text()
        messages = json.loads(text) if name == "ocpp_21.json" else [json.loads(line) for line in text.splitlines()]
        broken = valid = 0
        for message in messages:
            if isinstance(message, dict) and "message" not in message:
                message = [message["messageTypeId"], message["messageId"], message.get("action"), message["payload"]]
            kind, unique, action, payload = [*(message["message"] if isinstance(message, dict) else message), None][:4]
            if kind != 2:
                continue
            try:
                asyncio.run(validate_payload(Call(unique, action, payload), version))
                valid += 1
            except OCPPError:
                broken += 1
        assert broken == (0 if version == "2.1" else 1) and valid >= 5, name
