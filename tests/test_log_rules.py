"""The catalogue of rules for defects: every name the code gives is there; each history rule works on its cited case."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.counters import drop_soh_jumps, drop_stuck_registers, mend_registers, register_kwh
from models.defects import clean
from models.domain import Use
from models.loggers import join_meters, merge_logged, merge_loggers
from models.parameters import load
from models.sessions import UNKNOWN, US_PER_HOUR, RawSession, Samples, rules
from models.signs import mend_signs
from models.soh_displayed import displayed_readings
from pipelines.steps.history_logged import logged_findings
from warehouse.raw import RAW_SCHEMAS

RULES = rules()
ROOT = Path(__file__).resolve().parents[1]
TREATMENTS = {"rejected", "left out", "repaired", "merged", "flagged", "inferred"}
# What sets names of rules: findings, refusals, flags of intake.
GIVEN = (
    re.compile(r'\b[fF]inding\(\s*"([a-z_]+)"'),
    re.compile(r'refusals\.add\(.*?, "([a-z_]+)", ', re.S),
    re.compile(r'found\.setdefault\(\s*"([a-z_]+)"'),
    re.compile(r'reason(?:, detail)? = "([a-z_]+)"'),
)


def test_every_rule_that_the_code_names_is_in_the_catalogue():
    known = load("log_rules")
    assert {e.text("treatment") for e in known.values()} <= TREATMENTS
    assert all(e.label and e["meaning"].source for e in known.values())
    for folder in ("models", "warehouse", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            named = {name for pattern in GIVEN for name in pattern.findall(text)}
            assert named <= set(known), f"{path.name}: {sorted(named - set(known))} not in log_rules.toml"


def test_flags_of_charger_messages_are_in_the_catalogue():
    from warehouse.readers import ocpp_gather

    named = set(
        re.findall(r'"([a-z]+(?:_[a-z]+)*)"', " ".join(repr(tuple(ocpp_gather.FLAGS)).replace("'", '"').split()))
    )
    assert named and named <= set(load("log_rules")), sorted(named - set(load("log_rules")))


def _plain(sim: ModuleType, n: int = 60, **channels: np.ndarray | float) -> Samples:
    """A charge with a sample every five minutes."""
    rows = [(k / 12, "charge", 20.0) for k in range(n)]
    return sim.table(
        rows, **{"soc_frac": 0.2 + np.arange(n) * 20 / 12 / 156, "voltage_v": 350.0 + 0.1 * np.arange(n)} | channels
    )


def test_a_register_that_was_reset_goes_on(history_sim: ModuleType):
    """evcc-io/evcc#4997: charged energy resets."""
    true = 1000 + np.arange(60) * 0.5
    shown = np.where(np.arange(60) < 30, true, true - true[30])
    got, found = mend_registers(_plain(history_sim, energy_in_register_kwh=shown), RULES)
    assert [(f.rule, f.rows) for f in found] == [("register_reset", 1)]
    # The half kWh across the reset was not counted by the register; nothing else is lost.
    assert got.energy_in_register_kwh[-1] - got.energy_in_register_kwh[0] == pytest.approx(true[-1] - true[0] - 0.5)
    assert np.all(np.diff(got.energy_in_register_kwh) >= 0)


def test_a_register_that_drops_out_counts_nothing(history_sim: ModuleType):
    """lbbrhzn/ocpp#374: ABB registers drop out."""
    true = 1000 + np.arange(60) * 0.5
    shown = true.copy()
    shown[[20, 41, 42]] = 0.0
    got, found = mend_registers(_plain(history_sim, energy_in_register_kwh=shown), RULES)
    assert [(f.rule, f.rows) for f in found] == [("register_dropout", 3)]
    assert np.isnan(got.energy_in_register_kwh[[20, 41, 42]]).all()
    kept = np.isfinite(got.energy_in_register_kwh)
    assert np.allclose(got.energy_in_register_kwh[kept], true[kept])


def test_a_register_of_the_session_is_told_from_one_of_the_life(history_sim: ModuleType):
    """JoaoPedroBelo/bmw-wallbox-ha#10: per session against lifetime."""
    rows = [(24.0 * s + k / 12, "charge", 20.0) for s in range(5) for k in range(12)]
    shown = np.tile(np.arange(12) * 0.6, 5)
    samples = history_sim.table(rows, energy_in_register_kwh=shown)
    samples = replace(samples, ref=np.repeat(np.arange(5), 12), refs=tuple("abcde"))
    got, found = mend_registers(samples, RULES)
    assert [(f.rule, f.rows, f.sessions) for f in found] == [("register_per_session", 4, 4)]
    assert got.energy_in_register_kwh[-1] == pytest.approx(5 * 11 * 0.6)


def _by_session(sim: ModuleType, sessions: list[list[float]]) -> Samples:
    """Named sessions, one a day, a reading every half hour; the register shows these. [kWh]"""
    rows = [(24.0 * s + k / 2, "charge", 20.0) for s, shown in enumerate(sessions) for k in range(len(shown))]
    samples = sim.table(rows, energy_in_register_kwh=np.concatenate([np.array(shown) for shown in sessions]))
    ref = np.repeat(np.arange(len(sessions)), [len(shown) for shown in sessions])
    return replace(samples, ref=ref, refs=tuple(f"s{i}" for i in range(len(sessions))))


def test_a_register_of_the_session_that_begins_above_the_end_of_the_one_before_starts_anew(history_sim: ModuleType):
    """JoaoPedroBelo/bmw-wallbox-ha#10. The fourth session ends at 0.4 kWh, the fifth is first read at 2 kWh."""
    shown = [[0.5, 6.0, 9.0], [0.5, 8.0], [1.5, 7.0], [0.2, 0.4], [2.0, 9.0], [9.0, 0.5, 4.0], [0.5, 3.0]]
    got, found = mend_registers(_by_session(history_sim, shown), RULES)
    v = got.energy_in_register_kwh
    # Each begins with what it shows; the sixth shows the one before first.
    counted = [9.0, 8.0, 7.0, 0.4, 9.0, 4.0, 3.0]
    assert v[-1] == pytest.approx(sum(counted))
    ends = np.cumsum([len(s) for s in shown]) - 1
    assert np.diff(v[ends]) == pytest.approx(counted[1:])
    assert [(f.rule, f.rows) for f in found] == [("register_per_session", 6)]


def test_a_register_that_goes_on_over_sessions_is_not_taken_to_start_anew(history_sim: ModuleType):
    """Three resets at beginnings, but it goes on at as many others: what begins above counts the difference."""
    shown = [[1.0, 3.0], [3.5, 6.0], [0.5, 2.0], [2.5, 4.0], [0.5, 3.0], [3.5, 5.0], [0.5, 4.0]]
    got, found = mend_registers(_by_session(history_sim, shown), RULES)
    assert got.energy_in_register_kwh[-1] == pytest.approx(6.0 + 4.0 + 5.0 + 4.0)
    assert [(f.rule, f.rows) for f in found] == [("register_per_session", 3)]


@given(
    steps=st.lists(st.floats(0.0, 3.0), min_size=5, max_size=60),
    cut=st.integers(1, 50),
    low=st.lists(st.integers(1, 50), max_size=3, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_mended_registers_never_fall_and_never_gain(
    history_sim: ModuleType, steps: list[float], cut: int, low: list[int]
):
    true = 500.0 + np.cumsum(steps)
    shown = true.copy()
    if cut < shown.shape[0]:
        shown[cut:] -= shown[cut]
    shown[[i for i in low if i < shown.shape[0]]] = 0.0
    samples = history_sim.table([(k / 4, "charge", 5.0) for k in range(len(steps))], energy_in_register_kwh=shown)
    got, _ = mend_registers(samples, RULES)
    v = got.energy_in_register_kwh[np.isfinite(got.energy_in_register_kwh)]
    assert np.all(np.diff(v) >= -1e-9)
    if v.size:
        assert v[-1] - v[0] <= true[-1] - true[0] + 1e-6 + RULES("defects", "register_step_kwh")
    again, found = mend_registers(got, RULES)
    assert not found and np.array_equal(again.energy_in_register_kwh, got.energy_in_register_kwh, equal_nan=True)


def _metered(sim: ModuleType, shown: np.ndarray, **channels: np.ndarray | float) -> Samples:
    """An hour of charging at 6 kW and an hour of rest in one named session, a sample every five minutes."""
    rows = [(k / 12, "charge" if k < 12 else "rest", 17.0 if k < 12 else 0.0) for k in range(24)]
    power = np.where(np.arange(24) < 12, 6.0, 0.0)
    got = sim.table(
        rows,
        **{"power_kw": power, "energy_in_register_kwh": shown, "voltage_v": 350.0 + 0.1 * np.arange(24)} | channels,
    )
    return replace(got, ref=np.zeros(24, dtype=np.int64), refs=("P1",))


TRUE_KWH = 1000.0 + np.minimum(np.arange(24), 12) * 0.5


@pytest.mark.parametrize(
    ("shown", "rows"),
    [
        (np.where(np.arange(24) < 13, 1000.0, 1006.0), 12),  # lbbrhzn/ocpp#1707: jumps when the charge has ended
        (np.minimum(TRUE_KWH, 1002.0), 19),  # Rain1971/V2C_trydant#25: stuck, and stays so
        (np.full(24, 1000.0), 23),  # lbbrhzn/ocpp#1838: moves with the next session only
        (TRUE_KWH, 0),
        (np.floor(TRUE_KWH), 0),  # counts whole kWh
    ],
)
def test_a_register_that_stands_still_while_energy_flows_is_stuck(
    history_sim: ModuleType, shown: np.ndarray, rows: int
):
    pack = history_sim.nmc_pack()
    samples = _metered(history_sim, shown)
    got, found = clean(samples, pack, RULES)
    assert {f.rule: (f.rows, f.sessions) for f in found} == ({"stuck_register": (rows, 1)} if rows else {})
    energy = register_kwh(got, "energy_in_register_kwh", samples.time_us[:1], samples.time_us[-1:])[0]
    assert energy == pytest.approx(6.0) if shown[-1] == 1006.0 else np.isnan(energy)
    none = np.full(24, np.nan)
    soc = 0.3 + (TRUE_KWH - 1000.0) / pack.usable_kwh
    for unknown in ({"power_kw": none}, {"power_kw": none, "current_a": none, "soc_frac": soc}):
        other, _ = drop_stuck_registers(replace(samples, **unknown), pack, RULES)
        assert np.isfinite(other.energy_in_register_kwh).sum() == pytest.approx(24 - rows, abs=1)


def test_a_register_at_rest_or_in_a_drive_is_not_stuck(history_sim: ModuleType):
    standby = _metered(history_sim, np.full(24, 1000.0), power_kw=0.03, current_a=0.0)
    drives = replace(
        _metered(history_sim, np.full(24, 1000.0), power_kw=np.nan, current_a=-60.0), state=np.zeros(24, np.int8)
    )
    for samples in (standby, drives):
        assert drop_stuck_registers(samples, history_sim.nmc_pack(), RULES)[1] == []


@pytest.mark.parametrize("state", [UNKNOWN, Use.CHARGE, Use.REST])
def test_a_state_of_charge_that_flickers_or_sinks_is_no_flow_through_a_meter(history_sim: ModuleType, state: int):
    k, none = np.arange(24), np.full(24, np.nan)
    shown = {"energy_in_register_kwh": np.full(24, 1000.0), "energy_out_register_kwh": np.zeros(24)}
    got = replace(_metered(history_sim, none), power_kw=none, current_a=none, **shown)
    got = replace(got, state=np.full(24, state, np.int8))
    for soc in (0.55 + 0.01 * (k % 2), 0.60 - np.round(0.04 * k / 24, 2)):
        assert drop_stuck_registers(replace(got, soc_frac=soc), history_sim.nmc_pack(), RULES)[1] == []
    heats = replace(got, current_a=np.full(24, -6.0))  # itself from its battery
    assert drop_stuck_registers(heats, history_sim.nmc_pack(), RULES)[1] == []
    sinks = replace(got, soc_frac=0.9 - 0.3 * k / 24, state=np.full(24, Use.EXPORT, np.int8))
    other, found = drop_stuck_registers(sinks, history_sim.nmc_pack(), RULES)
    assert [f.rows for f in found] == [23] and np.isfinite(other.energy_in_register_kwh).all()


def test_two_chargers_of_one_car_are_one_meter(history_sim: ModuleType):
    """A day at home on one charger, then at work on the other; the idle one goes on telling its register."""
    n = 48
    rows = [(k / 12, "", 0.0) for k in range(n)]
    first = np.arange(n) < n // 2
    home = 1000.0 + np.minimum(np.arange(n), n // 2 - 1) * 0.5
    work = np.where(first, 40.0, np.arange(n) * 0.7 - 0.7 * (n // 2))  # starts anew with the session
    both = []
    for number, (shown, busy) in enumerate(((home, first), (work, ~first)), start=1):
        one = history_sim.table(
            rows,
            voltage_v=np.nan,
            power_kw=np.where(busy, 6.0 if number == 1 else 8.4, 0.0),
            energy_in_register_kwh=shown,
        )
        ref = np.where(busy, number - 1, -1).astype(np.int64)
        nothing = np.full(n, np.nan)
        both.append(replace(one, current_a=nothing, ref=ref, refs=("A", "B"), charger=np.ones(n, bool),
                            meter=np.full(n, number)))  # fmt: skip
    order = np.argsort(np.concatenate([s.time_us for s in both]), kind="stable")
    names = ("time_us", "state", "ref", "charger", "meter", *Samples.CHANNELS)
    samples = Samples(refs=("A", "B"), **{c: np.concatenate([getattr(s, c) for s in both])[order] for c in names})
    got, found = join_meters(samples, history_sim.nmc_pack(), RULES)
    assert {f.rule: f.rows for f in found} == {"two_meters": n, "register_reset": 1}
    assert got.size == n and got.power_kw.tolist() == np.where(first, 6.0, 8.4).tolist()
    assert np.all(np.diff(got.energy_in_register_kwh) >= 0)
    energy = register_kwh(got, "energy_in_register_kwh", got.time_us[[0, n // 2]], got.time_us[[n // 2 - 1, n - 1]])
    assert energy == pytest.approx([(n // 2 - 1) * 0.5, (n // 2 - 1) * 0.7])
    alone = samples.take(samples.meter == 1)
    assert join_meters(alone, history_sim.nmc_pack(), RULES)[0] is alone


def test_two_idle_chargers_leave_a_rest_its_power(history_sim: ModuleType):
    """Nobody is plugged in, then the car charges at the second one; the first one's zero is none then only."""
    n = 36
    busy = np.arange(n) >= 24
    rows = [(k / 12, "", 0.0) for k in range(n)]
    none = np.full(n, np.nan)
    both = []
    for number, power in ((1, np.zeros(n)), (2, np.where(busy, 7.0, 0.0))):
        one = history_sim.table(rows, voltage_v=np.nan, power_kw=power, energy_in_register_kwh=100.0 * number)
        both.append(replace(one, current_a=none, charger=np.ones(n, bool), meter=np.full(n, number),
                            time_us=one.time_us + number * 60_000_000))  # fmt: skip
    order = np.argsort(np.concatenate([s.time_us for s in both]), kind="stable")
    names = ("time_us", "state", "ref", "charger", "meter", *Samples.CHANNELS)
    samples = Samples(refs=(), **{c: np.concatenate([getattr(s, c) for s in both])[order] for c in names})
    got, _ = join_meters(samples, history_sim.nmc_pack(), RULES)
    start = samples.time_us[samples.meter == 2][24]
    rests, charges = got.time_us < start - 5 * 60_000_000, got.time_us >= start
    assert np.all(got.power_kw[rests] == 0.0)
    assert set(got.power_kw[charges & np.isfinite(got.power_kw)]) == {7.0} and (charges & np.isnan(got.power_kw)).any()


def test_energy_between_two_times_by_the_register(history_sim: ModuleType):
    samples = _plain(history_sim, energy_in_register_kwh=100.0 + np.arange(60) * 0.5)
    t = samples.time_us
    got = register_kwh(samples, "energy_in_register_kwh", t[[0, 10]], np.array([t[12], t[59] + 24 * US_PER_HOUR]))
    assert got[0] == pytest.approx(6.0) and np.isnan(got[1])


def test_state_of_health_that_jumps_is_left_out_and_the_rest_is_a_reported_reading(history_sim: ModuleType):
    """flobz/psa_car_controller#854: 95 -> 24/31."""
    soh = np.full(60, 0.95)
    soh[[5, 30]] = 0.24, 0.31
    got, found = drop_soh_jumps(_plain(history_sim, soh_frac=soh), RULES)
    assert [(f.rule, f.rows) for f in found] == [("jump_soh_frac", 2)]
    (reading,) = displayed_readings(got, history_sim.nmc_pack(), RULES)
    assert reading.soh_frac == 0.95 and reading.bms_reported and reading.method == "bms_soh" and reading.pairs == 58
    assert reading.sigma_frac >= reading.shared_sigma_frac >= 0.035  # field scatter between BMSs


def _zigzag(sim: ModuleType) -> Samples:
    """Eight stretches, up and down by a fifth, current of the right sign."""
    rows, soc, level = [], [], 0.5
    for s in range(8):
        up = 1.0 if s % 2 == 0 else -1.0
        for k in range(13):
            rows.append((3.0 * s + k / 12, "charge" if up > 0 else "export", 30.0 * up))
            soc.append(level + up * 30.0 * k / 12 / 156)
        level = soc[-1]
    return sim.table(rows, soc_frac=np.array(soc), voltage_v=350.0 + 0.1 * np.arange(len(rows)))


def test_a_log_against_its_own_balance_has_its_sign_turned(history_sim: ModuleType):
    """JohNan/homeassistant-homevolt-local#79: sign disputes, found from the balance of charge."""
    right, pack = _zigzag(history_sim), history_sim.nmc_pack()
    same, found = mend_signs(right, pack, RULES)
    assert not found and np.array_equal(same.current_a, right.current_a)
    wrong = replace(right, current_a=-right.current_a)
    got, found = mend_signs(wrong, pack, RULES)
    assert [f.rule for f in found] == ["sign_flipped"]
    assert np.array_equal(got.current_a, right.current_a)
    part = right.current_a.copy()
    part[26:39] *= -1
    got, found = mend_signs(replace(right, current_a=part), pack, RULES)
    assert [(f.rule, f.rows) for f in found] == [("sign_conflict", 12)]
    # The sample on which the stretches meet belongs to the one before.
    assert np.isnan(got.current_a[27:39]).all() and np.isfinite(np.delete(got.current_a, slice(27, 39))).all()
    power = replace(right, power_kw=-right.voltage_v * right.current_a / 1000)
    got, found = mend_signs(power, pack, RULES)
    assert [f.rule for f in found] == ["power_sign_flipped"]
    assert np.all(got.power_kw * got.current_a >= 0)


def test_what_car_and_charger_logged_both_is_one_life(history_sim: ModuleType):
    car = _plain(history_sim)
    n = 25
    rows = [(0.05 + k / 6, "", 0.0) for k in range(n)]
    meter = history_sim.table(rows, power_kw=7.4, voltage_v=np.nan, energy_in_register_kwh=100 + np.arange(n) * 7.4 / 6)
    meter = replace(meter, current_a=np.full(n, np.nan), charger=np.ones(n, dtype=bool))
    time = np.concatenate((car.time_us, meter.time_us))
    order = np.argsort(time, kind="stable")
    both = Samples(
        time[order], np.concatenate((car.state, meter.state))[order], np.concatenate((car.ref, meter.ref))[order], (),
        charger=np.concatenate((car.charger, meter.charger))[order],
        **{c: np.concatenate((getattr(car, c), getattr(meter, c)))[order] for c in Samples.CHANNELS},
    )  # fmt: skip
    got, found = merge_loggers(both, RULES)
    assert [(f.rule, f.rows) for f in found] == [("double_logged", n)]
    assert np.array_equal(got.time_us, car.time_us) and np.array_equal(got.current_a, car.current_a)
    inside = (got.time_us >= meter.time_us[0]) & (got.time_us <= meter.time_us[-1])
    assert np.allclose(got.power_kw[inside], 7.4) and np.isfinite(got.energy_in_register_kwh[inside]).all()
    alone, found = merge_loggers(car, RULES)
    assert alone is car and not found
    cleaned, found = clean(both, history_sim.nmc_pack(), RULES)
    assert "double_logged" in {f.rule for f in found} and cleaned.size == car.size


def test_sessions_of_car_and_charger_are_merged_once():
    h = US_PER_HOUR
    car = RawSession("c1", "charge", 10 * h, 14 * h, None, None, 0.4, 0.8)
    charger = RawSession("x9", "plugin", 10 * h - h // 10, 15 * h, 26.0, 1.0, logger="charger")
    later = RawSession("x10", "plugin", 40 * h, 44 * h, 5.0, logger="charger")
    got, found = merge_logged([car, charger, later], RULES)
    assert [(f.rule, f.rows) for f in found] == [("double_logged", 1)]
    assert len(got) == 2 and got[1] == later
    one = got[0]
    assert (one.kind, one.session_ref, one.energy_in_meter_kwh, one.energy_out_meter_kwh) == ("plugin", "c1", 26.0, 1.0)
    assert (one.soc_start_frac, one.soc_end_frac, one.start_us, one.end_us) == (0.4, 0.8, charger.start_us, 15 * h)
    assert merge_logged([charger, later], RULES) == ([charger, later], [])


def test_rows_say_their_own_flags_sentinels_and_lateness():
    times = [datetime(2026, 3, 1, h) for h in range(4)]
    samples = pl.DataFrame(
        {"vehicle_id": ["v"] * 4, "time_utc": times, "session_ref": ["a", "9223372036854775807", "a", None],
         "flag": ["unaligned", None, "unaligned register_reset", None]},
        schema_overrides={"time_utc": pl.Datetime("us")},
    )  # fmt: skip
    samples = samples.with_columns(
        pl.lit(None, t).alias(n) for n, t in RAW_SCHEMAS["samples"].items() if n not in samples.columns
    )
    logged = pl.DataFrame(schema=RAW_SCHEMAS["sessions"])
    late = pl.Series(times[2:3], dtype=pl.Datetime("us"))
    found = {f.rule: f for f in logged_findings(samples, logged, late)}
    assert {r: (f.rows, f.sessions) for r, f in found.items()} == {
        "unaligned": (2, 1), "register_reset": (1, 1), "sentinel_id": (1, 1), "late_rows": (1, 0),
    }  # fmt: skip
    assert found["late_rows"].examples == ("2026-03-01T02:00:00Z",)
