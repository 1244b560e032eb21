"""The learn step: exposures once, histories over the whole life, fits and residual written, the same twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.exposures import Computed
from pipelines.steps.learn import Learned, learn
from warehouse.store import Warehouse, open_warehouse

IN_SERVICE, FIRST, DAYS = date(2023, 1, 1), date(2023, 7, 1), 120
AS_OF = FIRST + timedelta(days=DAYS - 1)
VEHICLE = {
    "vehicle_type": "demo_nmc_60",
    "cell_id": "nmc811_lgm50",
    "gross_kwh": 60.0,
    "usable_kwh": 57.0,
    "certified_kwh": 57.0,
    "production_month": date(2022, 12, 1),
    "in_service_date": IN_SERVICE,
    "market": "DE",
    "contract_id": "common_oem_70",
    "consumption_wh_per_km": 170.0,
    "certified_worst_wh_per_km": 200.0,
    "home_id": "h1",
    "bms_version": "1",
    "list_price_money": 45000.0,
    "currency": "EUR",
    "cohort_id": "nmc811_lgm50.mild",
    "assumed": [],
    "source": "test",
}


def _rows(wh: Warehouse, table: str, rows: pl.DataFrame) -> None:
    schema = wh.registry.schema(table)
    missing = [pl.lit(None, dtype=t).alias(n) for n, t in schema.items() if n not in rows.columns]
    wh.append(table, rows.with_columns(missing))


def _put(wh: Warehouse, vehicle_id: str, readings: int) -> None:
    _rows(wh, "core_vehicle", pl.DataFrame([{"vehicle_id": vehicle_id, **VEHICLE}]))
    n = DAYS * 24
    hour = np.arange(n + 1) % 24
    soc = np.interp(hour, [0, 6, 17, 21, 24], [0.5, 0.8, 0.8, 0.45, 0.5])
    start = datetime(FIRST.year, FIRST.month, FIRST.day)
    ah = {
        f"{use}_{way}_{unit}": np.zeros(n)
        for use in ("drive", "charge", "export", "rest")
        for way in ("in", "out")
        for unit in ("ah", "kwh")
    }
    ah["charge_in_ah"] = np.maximum(np.diff(soc), 0) * 160
    ah["drive_out_ah"] = -np.minimum(np.diff(soc), 0) * 160
    steps = {
        "vehicle_id": [vehicle_id] * n,
        "step_utc": [start + timedelta(hours=i) for i in range(n)],
        "step_minutes": np.full(n, 60),
        "cell_soc_start_frac": soc[:-1],
        "cell_soc_end_frac": soc[1:],
        "temp_c": np.full(n, 18.0),
        "soc_residual_ah": np.zeros(n),
        "capacity_ah": np.full(n, 160.0),
        "filled": np.zeros(n, dtype=np.uint8),
        "temp_modelled": np.zeros(n, dtype=bool),
        **ah,
    }
    _rows(wh, "core_duty_step", pl.DataFrame(steps))
    _rows(wh, "meta_state", pl.DataFrame({"vehicle_id": [vehicle_id], "subject": ["history"], "version": ["1"]}))
    if readings:
        days = 181.0 + np.linspace(5, DAYS - 5, readings)
        body = {
            "vehicle_id": [vehicle_id] * readings,
            "time_utc": [datetime(2023, 1, 1) + timedelta(days=float(d)) for d in days],
            "days_in_service": days,
            "method": ["ocv_anchored"] * readings,
            "soh_frac": 0.985 - 2e-5 * days,
            "sigma_frac": np.full(readings, 0.01),
            "shared_sigma_frac": np.full(readings, 0.006),
            "bms_reported": [False] * readings,
            "soc_inferred": [False] * readings,
        }
        _rows(wh, "core_capacity_reading", pl.DataFrame(body))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learned]:
    """A home that has learned once, and what the step said; each test works on a copy of the home."""
    home = tmp_path_factory.mktemp("learnt") / "home"
    with open_warehouse(home) as wh:
        wh.pin_as_of(AS_OF)
        _put(wh, "va", 6)
        _put(wh, "vb", 0)
        done = learn(wh, Settings(home=home, draws=50))
    return home, done


@pytest.fixture
def warehouse(tmp_path: Path, learnt: tuple[Path, Learned]) -> Iterator[Warehouse]:
    home = tmp_path / "home"
    shutil.copytree(learnt[0], home)
    with open_warehouse(home) as wh:
        wh.pin_as_of(AS_OF)
        yield wh


def test_learns_once_and_the_same_twice(warehouse: Warehouse, learnt: tuple[Path, Learned]) -> None:
    settings = Settings(home=warehouse.home, draws=50)
    first = learnt[1]
    assert (first.computed.vehicles, first.computed.days) == (2, 2 * DAYS)
    tables = ("core_exposure_day", "core_exposure_life", "out_fit", "out_residual")
    before = [warehouse.rows(f"SELECT * FROM {t} ORDER BY ALL") for t in tables]
    again = learn(warehouse, settings)
    assert (again.computed.vehicles, again.computed.days) == (0, 0)
    assert before == [warehouse.rows(f"SELECT * FROM {t} ORDER BY ALL") for t in tables]
    assert first.sentence.startswith(
        f"2 vehicles (2 with new exposures, on {2 * DAYS} days), 6 capacity readings, 6 fits in 1 cohorts"
    )


def test_the_life_before_the_logs_is_there_and_flagged(learnt: tuple[Path, Learned]) -> None:
    done = learnt[1]
    life = (AS_OF - IN_SERVICE).days + 1
    for vehicle_id in ("va", "vb"):
        h = done.histories[vehicle_id]
        assert h.period_days.sum() == life
        assert h.backcast_share_frac == pytest.approx(1 - DAYS / life)
        for law in done.laws[h.cohort_id]:
            assert h.exposures[law.law_id].shape == (h.period_days.shape[0], len(law.exposure_names))
        assert h.exposures["nmc_b1_2023"][:, 2].sum() == pytest.approx(life)
    assert done.histories["va"].readings.days.shape[0] == 6
    assert done.vehicle_shrinkage("va") < done.vehicle_shrinkage("vb") < 1.01
    assert 0 < done.outside["va"]["nmc_b1_2023"] <= 1
    assert not done.residual.used
    assert done.shifts["va"].frac == 0.0


def test_a_changed_duty_is_computed_anew_and_others_are_not(warehouse: Warehouse) -> None:
    settings = Settings(home=warehouse.home, draws=50)
    changed = pl.DataFrame({"vehicle_id": ["va"], "subject": ["history"], "version": ["2"]})
    warehouse.write("meta_state", changed, "vehicle_id = ? AND subject = 'history'", ["va"])
    assert learn(warehouse, settings).computed == Computed(1, 0)  # looked at again: no day's duty is another
    noon = datetime(FIRST.year, FIRST.month, FIRST.day, 12) + timedelta(days=40)
    warehouse.con.execute("UPDATE core_duty_step SET temp_c = 19.0 WHERE vehicle_id = 'va' AND step_utc = ?", [noon])
    warehouse.con.execute("UPDATE meta_state SET version = '3' WHERE subject = 'history' AND vehicle_id = 'va'")
    assert learn(warehouse, settings).computed == Computed(1, 1)
    versions = warehouse.rows("SELECT vehicle_id, duty_version FROM core_exposure_life GROUP BY ALL ORDER BY ALL")
    assert len(versions) == 2


def test_out_fit_prints_shrinkage_and_weights(warehouse: Warehouse) -> None:
    rows = warehouse.rows("SELECT law_id, parameter, shrinkage, weight, readings, vehicles FROM out_fit ORDER BY ALL")
    assert {r[1] for r in rows} >= {"calendar", "cycling", "spread"}
    assert all(0 < r[2] <= 1.0001 for r in rows)
    assert sum({r[0]: r[3] for r in rows}.values()) == pytest.approx(1.0)
    assert {r[4] for r in rows} == {6} and {r[5] for r in rows} == {2}
    reason = warehouse.rows("SELECT used, reason FROM out_residual")
    assert reason[0][0] is False and "20 are needed" in reason[0][1]
