"""Years put together from series of different years: calendar, gaps, energies, scenario outages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dispatch import dispatch
from models.domain import Duty, FloatArray, Limits, Policy, Use
from models.logged_weeks import CHARGE, DRIVE, EXPORT, REST, Stays, close_days, logged_year, overlap, plugged_steps
from models.logged_weeks import spread as spread_hours
from models.parameters import load
from models.policies import charger, tariff
from models.representative import HomeSeries, clear_sky_shape, outage_steps, representative_year
from models.weeks import YEAR_HOURS, Series, align, choose_weeks, fill_from_neighbours, iso_week, stand_ins

HOUR_US = 3_600_000_000
CODES = {"drive": DRIVE, "charge": CHARGE, "export": EXPORT, "rest": REST}


def hours_since_1970(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) // 3600  # type: ignore[misc]


@given(st.integers(0, 5000))
def test_iso_weeks_agree_with_the_calendar(index: int) -> None:
    monday = datetime(1970, 1, 5, tzinfo=UTC) + timedelta(weeks=index)
    year, week = iso_week(np.array([index]))
    assert (int(year[0]), int(week[0])) == monday.isocalendar()[:2]


def series(first: int, n: int, name: str = "series", **extra: bool) -> Series:
    hours = first + np.arange(n)
    return Series(hours, hours.astype(float), name, **extra)


def test_the_latest_whole_year_is_taken_monday_midnight_first() -> None:
    s = series(hours_since_1970(2015, 1, 1), 3 * 8784)
    out = align(s, 1.0)
    # 2017 is the latest ISO year with 90 % of its hours; Monday 2017-01-02 00:00 in UTC+1 is 23:00 UTC
    assert out.years == (2017,)
    assert out.values[0] == hours_since_1970(2017, 1, 1, 23)
    assert np.all(np.diff(out.values) == 1.0)
    assert out.filled_hours == 0 and out.values.shape == (YEAR_HOURS,)


def test_weeks_of_two_half_years_are_joined() -> None:
    out = align(series(hours_since_1970(2019, 7, 1), 365 * 24), 0.0)
    assert out.years == (2019, 2020)
    assert out.values[0] == hours_since_1970(2019, 12, 30)  # ISO 2020, week 1
    assert out.values[-1] == hours_since_1970(2019, 12, 29, 23)


def test_hours_without_data_take_the_same_hour_of_the_week_before() -> None:
    s = series(hours_since_1970(2018, 1, 1), 8760)
    values = s.values.copy()
    values[1000:1010] = np.nan
    gone = np.delete(np.arange(8760), np.arange(3000, 3020))
    out = align(Series(s.hours[gone], values[gone], "s"), 0.0)
    first = hours_since_1970(2018, 1, 1)
    assert out.values[1000:1010] == pytest.approx(first + np.arange(1000, 1010) - 168)
    assert out.values[3000:3020] == pytest.approx(first + np.arange(3000, 3020) - 168)
    assert out.filled_hours == 30 + (YEAR_HOURS - 8760 if YEAR_HOURS > 8760 else 0)


def test_a_series_of_one_day_still_makes_a_year() -> None:
    out = align(series(hours_since_1970(2018, 3, 1), 24), 0.0)
    assert np.isfinite(out.values).all()
    assert out.values[12] == hours_since_1970(2018, 3, 1, 12)
    with pytest.raises(ValueError, match="no value in the whole series"):
        align(Series(np.arange(3), np.full(3, np.nan), "empty"), 0.0)
    with pytest.raises(ValueError, match="hours must increase"):
        align(Series(np.array([2, 1]), np.ones(2), "back"), 0.0)


def test_choice_of_weeks_and_neighbours() -> None:
    year = np.array([2019, 2019, 2020, 2020])
    week = np.array([51, 52, 52, 53])
    assert choose_weeks(year, week, np.array([1.0, 1.0, 0.95, 1.0]))[[50, 51]].tolist() == [0, 2]
    assert choose_weeks(year, week, np.array([1.0, 1.0, 0.2, 1.0]))[51] == 1
    for have in ([2, 50], [7], list(range(5, 22)), list(range(50)), list(range(52))):
        chosen = stand_ins(np.array(have))
        assert chosen[have].tolist() == have
        times = np.bincount(chosen, minlength=52)[have]
        assert times.sum() == 52
        assert times.max() - times.min() <= 1  # no logged week becomes the year
    table = np.full((52, 24), np.nan)
    table[5] = 3.0
    assert np.all(fill_from_neighbours(table) == 3.0)


@given(
    st.lists(st.tuples(st.floats(-5, 30), st.floats(0, 12)), max_size=6),
)
def test_overlap_is_a_share(intervals: list[tuple[float, float]]) -> None:
    start = np.array([int(a * 900e6) for a, _ in intervals], dtype=np.int64)
    end = np.array([int((a + b) * 900e6) for a, b in intervals], dtype=np.int64)
    out = overlap(start, end, 0, 24)
    fine = np.zeros(24 * 50)
    for a, b in zip(start, end, strict=True):
        middle = (np.arange(fine.size) + 0.5) * 900e6 / 50
        fine = np.maximum(fine, (middle >= a) & (middle < b))
    if len(intervals) == 1:
        assert out == pytest.approx(fine.reshape(24, 50).mean(axis=1), abs=0.021)
    assert np.all((out >= 0) & (out <= 1))
    assert np.all(out >= fine.reshape(24, 50).mean(axis=1) - 0.021 * max(len(intervals), 1))


def test_hours_are_spread_by_the_first_weight_that_says_anything() -> None:
    out = spread_hours(
        np.array([4.0, 8.0, 2.0]), np.array([0, 0, 1, 1] + [0] * 8), np.array([0] * 4 + [1, 0, 0, 0] + [0] * 4)
    )
    assert out.tolist() == [0, 0, 2, 2, 8, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]


class Log:
    """A made log: days from a Monday, away 08:00 to 17:00 UTC on weekdays, drives, charges at night, exports."""

    def __init__(self, made_years: ModuleType, days: int, start: tuple[int, int, int] = (2021, 3, 1)) -> None:
        self.pack = made_years.pack()
        self.first = hours_since_1970(*start)
        n = days * 24
        self.amps = np.zeros((n, len(Use)))
        self.sessions: list[tuple[str, float, float, bool]] = []
        for d in range(days):
            if (d % 7) < 5:
                self._use(d * 24 + 8, Use.DRIVE, -20.0)
                self._use(d * 24 + 16, Use.DRIVE, -20.0)
                self.sessions += [("drive", d * 24 + 8, d * 24 + 9, False), ("rest", d * 24 + 9, d * 24 + 16, False)]
                self.sessions += [("drive", d * 24 + 16, d * 24 + 16.5, False)]
            else:
                self.sessions += [("rest", d * 24 + 8, d * 24 + 16.5, True)]
            self._use(d * 24 + 18, Use.EXPORT, -5.0)
            self._use(d * 24 + 2, Use.CHARGE, 45.0 if 0 < d % 7 < 6 else 5.0)
            self.sessions += [("charge", d * 24 + 2, d * 24 + 3, True), ("export", d * 24 + 18, d * 24 + 19, True)]
            self.sessions += [("rest", d * 24, d * 24 + 2, True), ("rest", d * 24 + 3, d * 24 + 8, True)]
            self.sessions += [("rest", d * 24 + 16.5, d * 24 + 18, True), ("rest", d * 24 + 19, (d + 1) * 24, True)]
        soc = 0.7 + np.concatenate([[0.0], np.cumsum(self.amps.sum(axis=1))]) / self.pack.capacity_ah
        self.duty = Duty(
            start_utc=np.datetime64(self.first * HOUR_US, "us"),
            step_minutes=60,
            cell_soc_frac=soc,
            temp_c=np.full(n, 20.0),
            current_a=self.amps,
            capacity_ah=self.pack.capacity_ah,
            filled=np.zeros(n, np.uint8),
        )
        self.sessions.sort(key=lambda s: s[1])
        self.stays = Stays(
            start_us=np.array([int((self.first + s[1]) * HOUR_US) for s in self.sessions]),
            end_us=np.array([int((self.first + s[2]) * HOUR_US) for s in self.sessions]),
            use=np.array([CODES[s[0]] for s in self.sessions]),
            plugged=np.array([s[3] for s in self.sessions]),
        )

    def _use(self, hour: int, use: Use, amps: float) -> None:
        self.amps[hour, use] = amps

    def kwh(self, use: Use) -> FloatArray:
        soc = self.duty.cell_soc_frac
        return self.amps[:, use] * self.pack.ocv_pack_v((soc[1:] + soc[:-1]) / 2) / 1000


def test_a_logged_week_comes_back_step_by_step(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    year = logged_year(log.duty, log.stays, log.pack, 0.0)
    assert year.logged_weeks == 52 and not year.repeated_days
    steps = np.arange(34944)
    hour, weekday = steps % 96 / 4, steps // 96 % 7
    assert np.array_equal(year.plugged, ~((weekday < 5) & (hour >= 8) & (hour < 16.5)))
    assert year.drive_kwh.sum() == pytest.approx(-log.kwh(Use.DRIVE).sum(), rel=1e-9)
    assert year.export_kwh.sum() == pytest.approx(-log.kwh(Use.EXPORT).sum(), rel=1e-9)
    assert not year.away_charge_kwh.any()
    # driving falls into the drive sessions: the second is over after half an hour
    driving = year.drive_kwh > 1e-9
    assert set(np.unique(hour[driving]).tolist()) == {8.0, 8.25, 8.5, 8.75, 16.0, 16.25}
    assert set(np.unique(hour[year.charge_kwh > 1e-9]).tolist()) == {2.0, 2.25, 2.5, 2.75}


def test_local_time_moves_the_week(made_years: ModuleType) -> None:
    log = Log(made_years, 371)
    utc = logged_year(log.duty, log.stays, log.pack, 0.0)
    east = logged_year(log.duty, log.stays, log.pack, 2.0)
    middle = slice(3 * 672, 40 * 672)
    assert np.array_equal(np.roll(utc.plugged, 8)[middle], east.plugged[middle])


def test_the_recorded_year_closes_and_is_replayed(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    year = representative_year(
        log.duty, log.stays, log.pack, made_years.home(), tariff("de_fixed"), HomeSeries(), 165.0
    )
    net = (
        year.recorded_charge_kwh + year.away_charge_kwh - year.recorded_export_kwh - year.drive_kwh
    )  # a year ends where it began
    assert net.sum() == pytest.approx(0.0, abs=0.05)
    as_driven = Policy("as_driven", "", "as_driven", "as_driven", Limits())
    done = dispatch(year, as_driven, charger("v2h_10kw"), tariff("de_fixed"), log.pack)
    assert done.unserved_drive_kwh == 0.0
    assert done.clipped_kwh < 1.0
    # the log begins in ISO week 9, an hour after that week did in Berlin
    displayed = log.pack.displayed_soc(log.duty.cell_soc_frac)
    assert done.soc_frac[8 * 672] == pytest.approx(displayed[0], abs=0.01)
    assert year.km_per_year == pytest.approx(year.drive_kwh.sum() * 365.25 / 364 / 0.165)


def test_missing_weeks_come_from_the_nearest_one_of_the_same_car(made_years: ModuleType) -> None:
    log = Log(made_years, 70)
    year = logged_year(log.duty, log.stays, log.pack, 0.0)
    assert year.logged_weeks == 10
    assert year.plugged.mean() == pytest.approx(1 - 5 * 8.5 / 168, abs=1e-9)
    text = representative_year(
        log.duty, log.stays, log.pack, made_years.home(), tariff("de_fixed"), HomeSeries(), 165.0
    ).sources["vehicle"]
    assert text == "logged 2021-03-01 to 2021-05-09: 10 of 52 weeks logged, 42 taken from the nearest logged week"


@pytest.mark.parametrize("days", [1, 2, 5, 9])
@pytest.mark.parametrize("offset", [0.0, 1.0, -8.0])
def test_a_short_log_repeats_its_days(made_years: ModuleType, days: int, offset: float) -> None:
    log = Log(made_years, days, (2021, 3, 3))
    year = logged_year(log.duty, log.stays, log.pack, offset)
    assert year.repeated_days
    assert year.drive_kwh.shape == (34944,) and np.isfinite(year.drive_kwh).all()
    assert np.array_equal(year.plugged[:672], year.plugged[672:1344])


def test_charge_without_a_plug_is_charge_elsewhere(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    plugged = log.stays.plugged & ~(log.stays.use == CHARGE)
    year = logged_year(log.duty, replace(log.stays, plugged=plugged), log.pack, 0.0)
    assert not year.charge_kwh.any()
    assert year.away_charge_kwh.sum() == pytest.approx(log.kwh(Use.CHARGE).sum(), rel=1e-9)


def test_gaps_between_plugged_sessions_are_plugged_longer_ones_like_other_weeks(made_years: ModuleType) -> None:
    log = Log(made_years, 28)
    first_us, steps = log.first * HOUR_US, 28 * 96
    whole = plugged_steps(log.stays, first_us, steps)
    keep = ~(
        (log.stays.start_us >= first_us + 30 * HOUR_US * 24 // 24) & (log.stays.start_us < first_us + 31 * HOUR_US)
    )
    assert np.array_equal(plugged_steps(_take(log.stays, keep), first_us, steps), whole)
    week = (log.stays.start_us < first_us + 7 * 24 * HOUR_US) | (log.stays.start_us >= first_us + 14 * 24 * HOUR_US)
    assert np.array_equal(plugged_steps(_take(log.stays, week), first_us, steps), whole)


def _take(stays: Stays, keep: np.ndarray) -> Stays:
    return Stays(stays.start_us[keep], stays.end_us[keep], stays.use[keep], stays.plugged[keep])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_days_close_within_what_charging_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    take = {name: rng.random(34944) * 0.1 for name in ("charge", "away", "drive", "export")}
    want = 20 + 10 * rng.random(364)
    before = {name: values.copy() for name, values in take.items()}
    close_days(take, want)
    assert np.all(take["charge"] >= 0) and np.all(take["charge"] <= 3 * before["charge"] + 1e-12)
    assert all(np.array_equal(take[n], before[n]) for n in ("away", "drive", "export"))
    e = want[0] + np.cumsum(take["charge"] + take["away"] - take["drive"] - take["export"])
    free = take["charge"].reshape(364, 96).sum(axis=1) / before["charge"].reshape(364, 96).sum(axis=1)
    inside = (free > 1e-9) & (free < 3 - 1e-9)  # neither all nor nothing was needed
    assert e[95::96][inside] == pytest.approx(np.roll(want, -1)[inside], abs=1e-6)
    assert inside.sum() > 50


def test_house_and_sun_are_scaled_and_said(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    first = hours_since_1970(2016, 1, 1)
    home_series = HomeSeries(
        load_kwh=series(first, 8784, "konstanz"),
        pv_kwh=series(first, 8784, "konstanz"),
        air_c=Series(first + np.arange(8784), np.full(8784, 7.0), "air"),
    )
    year = representative_year(
        log.duty, log.stays, log.pack, made_years.home(annual_load_kwh=5000.0, pv_kwp=8.0), tariff("de_fixed"),
        home_series, 165.0, km_per_year=12_345.0,
    )  # fmt: skip
    assert year.load_kw.sum() / 4 * 365.25 / 364 == pytest.approx(5000.0)
    assert year.pv_kw.sum() / 4 * 365.25 / 364 == pytest.approx(8 * 950.0)
    assert np.all(year.ambient_c == 7.0) and year.km_per_year == 12_345.0
    assert year.sources["house"] == "konstanz 2016, 23 hours filled from neighbouring weeks, scaled to 5000 kWh a year"
    assert year.sources["price"] == "tariff de_fixed"
    assert np.flatnonzero(year.peak[:96]).tolist() == list(range(17 * 4, 21 * 4))
    assert (year.utc_offset_hours, year.currency) == (1.0, "EUR")


def test_a_home_without_series_takes_stated_assumptions(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    year = representative_year(
        log.duty,
        log.stays,
        log.pack,
        made_years.home(tariff_id="nl_dynamic"),
        tariff("nl_dynamic"),
        HomeSeries(),
        165.0,
    )
    assert year.load_kw.sum() / 4 * 365.25 / 364 == pytest.approx(4000.0)
    assert year.pv_kw.sum() / 4 * 365.25 / 364 == pytest.approx(5 * 950.0)
    assert all("assumed" in year.sources[k] for k in ("house", "sun", "price", "air"))
    assert year.pv_kw[:96][:24].max() == 0.0  # no sun before six in winter
    assert -10 < year.ambient_c.min() < 0 and 20 < year.ambient_c.max() < 30
    no_sun = representative_year(
        log.duty, log.stays, log.pack, made_years.home(pv_kwp=0.0), tariff("de_fixed"), HomeSeries(), 165.0
    )
    assert not no_sun.pv_kw.any() and no_sun.sources["sun"] == "no PV plant"


def test_dynamic_prices_bear_the_markup_and_the_currency(made_years: ModuleType) -> None:
    log = Log(made_years, 364)
    price = Series(hours_since_1970(2019, 1, 1) + np.arange(8760), np.full(8760, 0.05), "nl")
    home = made_years.home(tariff_id="nl_dynamic")
    year = representative_year(
        log.duty, log.stays, log.pack, home, tariff("nl_dynamic"), HomeSeries(price=price, price_currency="EUR"), 165.0
    )
    assert year.import_money_per_kwh == pytest.approx(0.05 + 0.17)
    with pytest.raises(ValueError, match="Price series nl is in NOK, tariff nl_dynamic in EUR"):
        representative_year(
            log.duty, log.stays, log.pack, home, tariff("nl_dynamic"), HomeSeries(price=price, price_currency="NOK"),
            165.0,
        )  # fmt: skip


@pytest.mark.parametrize("region", sorted(load("outages")))
def test_outages_are_the_homes_own_and_the_regions_on_average(region: str) -> None:
    e = load("outages")[region]
    saidi, saifi = e.number("saidi_minutes"), e.number("saifi")
    assert np.array_equal(outage_steps("h1", saidi, saifi), outage_steps("h1", saidi, saifi))
    many = [outage_steps(f"home {k}", saidi, saifi) for k in range(400)]
    count = np.mean([np.count_nonzero(np.diff(o.astype(int)) == 1) + int(o[0]) for o in many])
    assert count == pytest.approx(saifi, rel=0.25, abs=0.06)
    minutes = np.mean([o.sum() * 15 for o in many])
    # whole steps, at least one: short interruptions come out longer
    assert saidi * 0.7 < minutes < saidi * 1.35 + saifi * 15
    assert not outage_steps("h1", 0.0, 0.0).any()


def test_the_sun_is_higher_in_summer() -> None:
    sun = clear_sky_shape(50.0).reshape(364, 24)
    assert np.sin(np.deg2rad(40 + 23.44)) == pytest.approx(sun.max(), abs=0.01)
    assert sun[171].sum() > 3 * sun[355].sum()
