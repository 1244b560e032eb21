"""The compiled dispatch against the plan told plainly: the same bits, whatever policy, prices and windows."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dispatch import dispatch, duty_of, soc_of_energy
from models.domain import Charger, Limits, Policy, RepresentativeYear
from models.policies import tariff
from models.representative import no_export_twin

limits = st.builds(
    Limits,
    soc_floor_frac=st.sampled_from((0.0, 0.2, 0.6)),
    soc_ceiling_frac=st.sampled_from((0.75, 0.9, 1.0)),
    export_kw=st.none() | st.floats(0.4, 6.0),
    export_kwh_per_day=st.none() | st.floats(0.5, 8.0),
    export_hours_per_day=st.none() | st.floats(0.25, 5.0),
    export_kwh_per_year=st.none() | st.floats(5.0, 300.0),
    driving_reserve_kwh=st.floats(0.0, 15.0),
)
chargers = st.builds(
    Charger,
    charger_id=st.just("any"),
    charge_kw=st.floats(2.0, 11.0),
    export_kw=st.floats(1.0, 11.0),
    min_export_kw=st.sampled_from((0.0, 0.5)),
    charge_efficiency_frac=st.floats(0.8, 1.0),
    export_efficiency_frac=st.floats(0.8, 1.0),
    standby_kw=st.sampled_from((0.0, 0.1)),
)


@st.composite
def years(draw: st.DrawFn) -> tuple[int, str, bool, bool, bool]:
    """Seed, tariff, and whether it is sunny, prices are coarse, and the car moves and is charged at odd times."""
    tariff_id = draw(st.sampled_from(("us_ev2a_like", "nl_dynamic", "nl_dynamic")))
    return draw(st.integers(0, 10_000)), tariff_id, draw(st.booleans()), draw(st.booleans()), draw(st.booleans())


def made(made_years: ModuleType, how: tuple[int, str, bool, bool, bool]) -> RepresentativeYear:
    seed, tariff_id, sunny, coarse, odd = how
    year = made_years.year(seed, days=4, prices=tariff(tariff_id), pv_kwp=4.0 * sunny, recorded=True)
    rng = np.random.default_rng(seed)
    if coarse:
        year = replace(year, import_money_per_kwh=np.round(10 * year.import_money_per_kwh) / 10)
    if odd:
        drive, away = year.drive_kwh.copy(), year.away_charge_kwh.copy()
        drive[rng.integers(0, drive.size, 20)] = rng.uniform(-3.0, 10.0, 20)
        away[rng.integers(0, away.size, 10)] = rng.uniform(0.0, 40.0, 10)
        year = replace(year, drive_kwh=drive, away_charge_kwh=away)
    return year


@settings(max_examples=60, deadline=None)
@given(
    how=years(),
    charging=st.sampled_from(("immediate", "smart")),
    export=st.sampled_from(("none", "outage", "peak", "peak", "solar", "solar", "arbitrage", "arbitrage", "arbitrage")),
    lim=limits,
    box=chargers,
    capacity=st.sampled_from((1.0, 0.7)),
)
def test_the_kernels_give_the_plain_plan(
    made_years: ModuleType,
    plain_dispatch: ModuleType,
    how: tuple[int, str, bool, bool, bool],
    charging: str,
    export: str,
    lim: Limits,
    box: Charger,
    capacity: float,
) -> None:
    year, pack, policy = made(made_years, how), made_years.pack(), Policy("p", "P", charging, export, lim)
    done = dispatch(year, policy, box, tariff(how[1]), pack, capacity)
    plain = plain_dispatch.Plan(year, policy, box, pack, capacity)
    for name in ("energy", "drive", "away", "charge", "exported"):
        got = getattr(done, {"away": "away_charge", "exported": "export"}.get(name, name) + "_kwh")
        assert np.array_equal(got, getattr(plain, name)), name
    assert np.array_equal(done.soc_frac, soc_of_energy(pack, done.energy_kwh / (pack.usable_kwh * capacity)))
    flows = (done.drive_kwh != 0) | (done.away_charge_kwh != 0) | (done.charge_kwh != 0) | (done.export_kwh != 0)
    assert np.array_equal(done.busy, flows)


@settings(max_examples=30, deadline=None)
@given(how=years(), policy_id=st.sampled_from(("as_driven", "peak", "arbitrage")), per=st.sampled_from((1, 2, 4, 12)))
def test_a_duty_is_what_the_plain_sums_say(
    made_years: ModuleType,
    plain_dispatch: ModuleType,
    how: tuple[int, str, bool, bool, bool],
    policy_id: str,
    per: int,
) -> None:
    year, pack = made(made_years, how), made_years.pack("demo_lfp_60")
    rule = ("as_driven", "as_driven") if policy_id == "as_driven" else ("smart", policy_id)
    done = dispatch(year, Policy("p", "P", *rule, Limits()), made_years.CHARGER, tariff(how[1]), pack, 0.9)
    duty = duty_of(done, year, pack, 15 * per)
    plain = plain_dispatch.duty(done, year, pack, per)
    for got, wanted in zip((duty.cell_soc_frac, duty.temp_c, duty.current_a, duty.flow_a), plain, strict=True):
        assert got == pytest.approx(wanted, rel=1e-10, abs=1e-10)


def test_charge_and_export_in_one_step_count_though_the_energy_stays(made_years: ModuleType) -> None:
    year, pack = made_years.year(1, days=7, prices=tariff("de_fixed"), recorded=True), made_years.pack()
    at = np.flatnonzero(year.plugged & (year.drive_kwh == 0.0))[:40]
    both = np.zeros(year.steps)
    both[at] = 0.5
    year = replace(year, recorded_charge_kwh=both, recorded_export_kwh=both.copy())
    done = dispatch(
        year, Policy("as_driven", "", "as_driven", "as_driven", Limits()), made_years.CHARGER, tariff("de_fixed"), pack
    )
    assert done.busy[at].all()
    assert np.all(duty_of(done, year, pack, 15).current_a[at, 1] > 0.0)


def test_the_twin_of_a_year_is_made_once(made_years: ModuleType) -> None:
    year, pack = made_years.year(2, days=7, prices=tariff("de_fixed"), recorded=True), made_years.pack()
    none = Policy("as_driven_no_export", "", "as_driven", "none", Limits())
    one, two = (dispatch(year, none, made_years.CHARGER, tariff("de_fixed"), pack, x) for x in (1.0, 0.8))
    assert one.away_charge_kwh is two.away_charge_kwh  # the twin's own array
    own = replace(no_export_twin(year))
    recorded = Policy("as_driven", "", "as_driven", "as_driven", Limits())
    assert np.array_equal(
        dispatch(own, recorded, made_years.CHARGER, tariff("de_fixed"), pack).energy_kwh, one.energy_kwh
    )
