"""Only days whose duty changed are computed again, and nobody can tell the result from one made at once."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import Duty, Pack
from models.exposure import daily_exposures
from models.exposure_days import Known, day_keys, days_of_duty, known_rows, update_days
from models.laws.base import Law
from models.laws.registry import laws_for
from models.packs import pack_of
from models.sessions import KINDS
from pipelines.settings import Settings
from pipelines.steps.history import build_history, load_duty, load_vehicles
from pipelines.steps.intake import ingest, propose_fleet, register_fleet
from pipelines.steps.learn import learn
from warehouse.store import Warehouse, open_warehouse

PER_DAY = 24
TABLES = (
    "core_session",
    "core_duty_step",
    "core_capacity_reading",
    "core_exposure_day",
    "core_exposure_life",
    "out_fit",
    "out_residual",
)


@pytest.fixture(scope="module")
def laws() -> tuple[Law, ...]:
    return laws_for("nmc811_lgm50")


@pytest.fixture(scope="module")
def pack(history_sim: ModuleType) -> Pack:
    return history_sim.nmc_pack()


def _duty(seed: int, days: int, pack: Pack) -> Duty:
    """Rests, whole and part hours of current at random; some hours hold both signs."""
    rng = np.random.default_rng(seed)
    n = days * PER_DAY
    moves = np.where(rng.random(n) < 0.3, rng.normal(0.0, 0.08, n), 0.0)
    soc = np.clip(0.5 + np.cumsum(moves - np.linspace(0.0, moves.sum(), n) / n), 0.02, 0.98)
    soc = np.concatenate(([0.5], np.where(moves == 0.0, np.nan, soc)))
    known = np.flatnonzero(~np.isnan(soc))
    soc = soc[known[np.searchsorted(known, np.arange(n + 1), side="right") - 1]]
    current = np.zeros((n, 4))
    change = np.diff(soc) * pack.capacity_ah
    current[:, 0], current[:, 1] = np.minimum(change, 0.0), np.maximum(change, 0.0)
    both = rng.random(n) < 0.05
    current[both, 1] += 8.0
    current[both, 2] -= 8.0
    flow = np.where(rng.random(n) < 0.5, np.abs(change) * rng.uniform(1.0, 4.0, n), np.nan)
    start = np.datetime64("2024-02-26", "us")
    temp = 12.0 + 6.0 * np.sin(np.arange(n) * 2 * np.pi / 24) + rng.normal(0, 0.5, n)
    return Duty(start, 60, soc, temp, current, pack.capacity_ah, np.zeros(n, dtype=np.uint8), flow)


def _known(laws: tuple[Law, ...], duty: Duty, pack: Pack) -> dict[str, Known]:
    found = daily_exposures(duty, pack, laws)
    return {name: known_rows(days_of_duty(duty), day_keys(duty, pack), rows) for name, rows in found.items()}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), touched=st.sets(st.integers(0, 11), max_size=4), capacity=st.floats(0.7, 1.0))
def test_update_is_the_same_as_all_at_once(
    laws: tuple[Law, ...], pack: Pack, seed: int, touched: set[int], capacity: float
) -> None:
    before, other = _duty(seed, 12, pack), _duty(seed + 1, 12, pack)
    hours = np.isin(np.arange(before.steps) // PER_DAY, sorted(touched))
    after = replace(
        before,
        cell_soc_frac=np.where(np.append(hours, False), other.cell_soc_frac, before.cell_soc_frac),
        temp_c=np.where(hours, other.temp_c, before.temp_c),
        current_a=np.where(hours[:, None], other.current_a, before.current_a),
        capacity_ah=capacity * before.capacity_ah,  # another reading has come: no day's growth depends on it
    )
    near = {d for t in touched for d in (t - 1, t, t + 1)}
    found = update_days(laws, after, pack, day_keys(after, pack), _known(laws, before, pack))
    for law in laws:
        u = found[law.law_id]
        np.testing.assert_array_equal(u.exposures, law.exposures(after, pack))
        if law.day_by_day:
            assert touched <= set(u.computed.tolist()) <= near
            assert np.array_equal(u.computed, u.new)
        else:
            assert u.computed.size == 12


@pytest.mark.parametrize("cut", [(0, 9), (3, 12), (2, 7)])
def test_days_before_and_after_come_and_go(laws: tuple[Law, ...], pack: Pack, cut: tuple[int, int]) -> None:
    whole = _duty(5, 12, pack)
    part = whole.part(cut[0] * PER_DAY, cut[1] * PER_DAY)
    assert part.flow_a is not None
    for before, after in ((part, whole), (whole, part)):
        found = update_days(laws, after, pack, day_keys(after, pack), _known(laws, before, pack))
        edges = (cut[0] > 0) + (cut[1] < 12)
        for law in laws:
            np.testing.assert_array_equal(found[law.law_id].exposures, law.exposures(after, pack))
            if law.day_by_day:
                new = edges + (12 - (cut[1] - cut[0]) if after is whole else 0)
                assert found[law.law_id].computed.size == new


def test_rows_of_laws_that_count_over_the_whole_life_are_new_where_they_differ(
    laws: tuple[Law, ...], pack: Pack
) -> None:
    duty = _duty(1, 6, pack)
    known = _known(laws, duty, pack)
    same = update_days(laws, duty, pack, day_keys(duty, pack), known)
    assert [u.new.size for u in same.values()] == [0] * len(laws)
    other = replace(duty, capacity_ah=0.9 * duty.capacity_ah)  # the same days, other rows
    changed = update_days(laws, other, pack, day_keys(other, pack), known)
    for law in laws:
        assert (changed[law.law_id].new.size >= 4) is not law.day_by_day


# ---------------------------------------------------------------------- a whole home
DAYS = 14
HEADER = (
    "vehicle", "time_utc", "session", "state", "voltage_v", "current_a", "soc_pct", "battery_temp_c", "ambient_c",
    "power_kw", "odometer_km",
)  # fmt: skip


def _logs(folder: Path, history_sim: ModuleType) -> list[Path]:
    """One car's log cut by session days: as if every day came in a file of its own."""
    pack = history_sim.nmc_pack()
    samples = history_sim.simulate(pack, 0.93 * pack.capacity_ah, 4, DAYS, 0.3, 0.85)
    hours = (samples.time_us - history_sim.START_US) / 3.6e9
    out = []
    for day in range(int(hours[-1] // 24) + 1):
        rows = np.flatnonzero((hours >= 24 * day) & (hours < 24 * day + 24))
        out.append(folder / f"day_{day:02d}.csv")
        with out[-1].open("w", newline="", encoding="utf-8") as file:
            sheet = csv.writer(file)
            sheet.writerow(HEADER)
            for i in rows:
                time = np.datetime_as_string(np.datetime64(int(samples.time_us[i]), "us")) + "Z"
                volt, amps = f"{samples.voltage_v[i]:.3f}", f"{samples.current_a[i]:.3f}"
                state, soc = KINDS[samples.state[i]], f"{100 * samples.soc_frac[i]:.2f}"
                sheet.writerow(
                    ["car-one", time, "", state, volt, amps, soc, f"{20 + 3 * np.sin(hours[i] / 4):.2f}", *[""] * 3]
                )
    return out


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, history_sim: ModuleType) -> tuple[Path, list[Path]]:
    """A home with the first and the last day of a car taken in and registered, no night yet; and all its files."""
    folder = tmp_path_factory.mktemp("late")
    files = _logs(folder, history_sim)
    home = Settings(home=folder / "home")
    ingest(home, [files[0], files[-1]], "fadecast_samples")
    proposal = propose_fleet(home, files[0], "fadecast_samples").path
    text = proposal.read_text(encoding="utf-8").replace("assumed_bev_60", "demo_nmc_60")
    proposal.write_text(text, encoding="utf-8")
    register_fleet(home, proposal)
    return home.home, files


def _dump(wh: Warehouse) -> dict[str, object]:
    return {t: wh.rows(f"SELECT * FROM {t} ORDER BY ALL") for t in TABLES}


def _keys(wh: Warehouse, settings: Settings) -> dict[int, str]:
    vehicle = next(iter(load_vehicles(wh).values()))
    pack = pack_of(vehicle, settings.home)
    duty = load_duty(wh, vehicle, pack)
    return dict(zip(days_of_duty(duty), day_keys(duty, pack), strict=True))


def _night(settings: Settings, before: dict[int, str]) -> tuple[dict[int, str], int]:
    """History and learning; asserts that exactly the days whose duty is another were computed."""
    with open_warehouse(settings.home) as wh:
        build_history(wh, settings)
        done = learn(wh, settings)
        after = _keys(wh, settings)
    assert done.computed.days == sum(before.get(day) != key for day, key in after.items())
    return after, done.computed.days


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_late_days_give_the_tables_of_a_home_that_had_all_at_once(
    begun: tuple[Path, list[Path]], tmp_path: Path, seed: int
) -> None:
    start, files = begun
    rng = np.random.default_rng(seed)
    fresh, late = (Settings(home=tmp_path / name, draws=50) for name in ("fresh", "late"))
    for home in (fresh, late):
        shutil.copytree(start, home.home)
    ingest(fresh, files, "fadecast_samples")
    _night(fresh, {})
    keys, counts = {}, []
    groups = np.array_split(rng.permutation(np.arange(1, len(files) - 1)), 4)
    for group in groups:
        keys, _ = _night(late, keys)
        ingest(late, [files[i] for i in group], "fadecast_samples")
    keys, _ = _night(late, keys)
    with open_warehouse(fresh.home) as one, open_warehouse(late.home) as two:
        want = _dump(one)
        for table, rows in _dump(two).items():
            assert rows == want[table], table
        # Data removed: an earlier as-of day takes the last days away, and gives them back.
        last = two.as_of()
        two.pin_as_of(last - timedelta(days=int(rng.integers(2, 6))))
        build_history(two, late)
        counts.append(learn(two, late).computed.days)
        two.pin_as_of(None)
        build_history(two, late)
        counts.append(learn(two, late).computed.days)
        assert _dump(two) == want
    assert counts[0] < counts[1] < DAYS
