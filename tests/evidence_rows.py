"""Made ageing tests in the exchange format: storage, cycling, load spectra, profiles with features."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl

SONY = ("Sony/Murata US26650FTC1 3 Ah", "LFP/graphite")
NCA = ("NCA/SiOx-graphite (Geslin 2024)", "NCA/SiOx-graphite")
SCORE_KEYS = ["test_id", "law", "n", "rmse_pp", "bias_pp", "inside_80_frac", "in_range"]
FEATURES = {
    "Average Current": 0.11,
    "Normalized Current Variance": 0.5,
    "Maximum Discharge Current": 1.6,
    "Relative Charge Fraction": 0.08,
    "Rest Fraction at High SOC": 0.2,
    "Rest SOC": 0.5,
    "Peak Frequency 1": 0.0003,
    "Peak Frequency 2": 0.0006,
}
Row = dict[str, Any]


def made_test(
    name: str,
    kind: str = "calendar",
    temp: float | None = 40.0,
    soc: float | None = 0.5,
    depth: float | None = 0.0,
    rate: float | None = 0.0,
    cycles: float = 0.0,
    loss: float = 0.09,
    cell: tuple[str, str] = SONY,
    days: float | None = 880.0,
) -> list[Row]:
    return [
        {
            "test_id": name,
            "cell": cell[0],
            "chemistry": cell[1],
            "kind": kind,
            "temperature_c": temp,
            "soc_mean_frac": soc,
            "dod_frac": depth,
            "charge_c_rate": rate,
            "discharge_c_rate": rate,
            "day": None if days is None else days * x,
            "day_is_estimated": False,
            "efc": cycles * x,
            "capacity_frac": 1 - loss * math.sqrt(x),
        }
        for x in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]


def made_drive(name: str, cycles: float = 1200.0, loss: float = 0.19, **changed: float | None) -> list[Row]:
    bare = made_test(name, "cycle", None, None, 1.0, None, cycles, loss, NCA, None)
    return [r | {"protocol_type": "Drive", "protocol_name": "Drive_1"} | FEATURES | changed for r in bare]


def several() -> list[Row]:
    return [
        *made_test("stored"),
        *made_test("cycled", "cycle", depth=0.8, rate=1.0, cycles=8000, loss=0.24),
        *made_test("spectrum", "cycle", depth=None, rate=None, cycles=1500, loss=0.12),
    ]


def with_drives() -> list[Row]:
    blank = dict.fromkeys(("protocol_type", "protocol_name", *FEATURES))
    drives = [*made_drive("drive"), *made_drive("other drive", 1700.0, 0.21, **{"Average Current": 0.4})]
    return [*(r | blank for r in several()), *drives]


def csv_text(rows: list[Row], sep: str = ",") -> str:
    text = [{k: "" if v is None else str(v) for k, v in r.items()} for r in rows]
    return pl.DataFrame(text, infer_schema_length=None).write_csv(separator=sep)


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text(csv_text(rows), encoding="utf-8")
    return path
