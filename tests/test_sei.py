"""The SEI members: exposures, projection and kernel against each other, and their invariants."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import NMC_FADE_FRAC, fade_by_year, fit_speed, typical_duty
from models.conformance import daily_run
from models.domain import Duty, Pack
from models.laws import sei, sei_grid
from models.laws.esoh import capacity_frac
from models.laws.sei import SeiLaw, kernel_run, members
from models.laws.sei_kernel import SUBSTEP_SOC, substeps
from models.laws.sei_project import balance_at, balance_grid
from models.laws.sei_steps import Steps, balanced_current, segments_of, steps_of
from models.parameters import ParameterError
from models.ten_years import daily_path, drift, kernel_path
from models.v2h_year import v2h_duty, v2h_pack
from tests.made_years import pack_of_cell

ONE = np.array([1.0])


@pytest.fixture(scope="module", params=["sei_ec", "sei_interstitial"])
def law(request: pytest.FixtureRequest) -> SeiLaw:
    return SeiLaw("nmc811_lgm50", request.param)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return pack_of_cell()


@pytest.fixture(scope="module")
def duty(pack: Pack) -> Duty:
    return typical_duty(pack, 364, export_frac=0.1)


def zeros(law: SeiLaw, draws: int = 1) -> np.ndarray:
    return np.zeros((draws, len(law.multiplier_names)))


def test_members_are_in_fixed_order_and_named() -> None:
    assert [m.law_id for m in members("nmc811_lgm50")] == ["sei_ec", "sei_interstitial"]
    for m in members("lfp_prada2013"):
        assert m.chemistry == "lfp"
        assert len(m.multiplier_sigma) == len(m.multiplier_names)
        assert m.version.startswith(f"{sei.VERSION}.")
        assert "donor" in m.parameters["film_volume_m3_per_mol"].source


def test_unknown_cell_is_named() -> None:
    with pytest.raises(ParameterError, match="no_such_cell"):
        members("no_such_cell")


def test_exposures_have_a_row_a_day_and_the_right_columns(law: SeiLaw, pack: Pack, duty: Duty) -> None:
    e = law.exposures(duty, pack)
    assert e.shape == (364, len(law.exposure_names))
    assert np.all(np.isfinite(e)) and np.all(e >= 0)
    cycles = e[:, law.exposure_names.index("full_cycles")].sum()
    assert cycles == pytest.approx(0.5 * np.abs(duty.current_a).sum() / pack.capacity_ah, rel=1e-9)


@pytest.mark.parametrize("name", ["cell_soc_frac", "temp_c"])
def test_a_duty_with_gaps_is_refused(law: SeiLaw, pack: Pack, duty: Duty, name: str) -> None:
    values = getattr(duty, name).copy()
    values[7] = np.nan
    with pytest.raises(ValueError, match="fill the gaps"):
        law.exposures(dataclasses.replace(duty, **{name: values}), pack)


def test_exposures_of_days_add_up(law: SeiLaw, pack: Pack) -> None:
    whole = typical_duty(pack, 20)
    first = whole.part(0, 10 * 24)
    np.testing.assert_array_equal(law.exposures(whole, pack)[:10], law.exposures(first, pack))


def test_thinner_films_grow_faster(law: SeiLaw, pack: Pack, duty: Duty) -> None:
    e, n_w, n_c = law.exposures(duty, pack), law.fullness.size, law.coarse.size
    by_node = e[:, n_w : n_w + n_c * law.nodes.size].reshape(-1, n_c, law.nodes.size)
    assert np.all(np.diff(by_node, axis=2) < 0)
    np.testing.assert_allclose(by_node[:, :, law.middle], e[:, law.coarse], rtol=1e-12)


def test_resume_equals_one_shot(law: SeiLaw, pack: Pack, duty: Duty) -> None:
    e = law.exposures(duty, pack)[None, :120]
    logs = np.random.default_rng(1).normal(0, 0.4, zeros(law, 20).shape)
    whole = law.project(e, ONE, logs)
    first = law.project(e[:, :70], ONE, logs)
    second = law.project(e[:, 70:], ONE, logs, first.state)
    np.testing.assert_allclose(second.capacity_frac, whole.capacity_frac[:, 70:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(second.state, whole.state, rtol=1e-12)


def test_time_without_exposure_changes_nothing(law: SeiLaw, pack: Pack, duty: Duty) -> None:
    e = law.exposures(duty, pack)[None, :30]
    aged = law.project(e, ONE, zeros(law))
    still = law.project(np.zeros((1, 5, e.shape[2])), ONE, zeros(law), aged.state)
    np.testing.assert_allclose(still.state[:, :3], aged.state[:, :3], atol=1e-15)
    np.testing.assert_allclose(still.capacity_frac, aged.capacity_frac[0, -1], atol=1e-12)


def test_months_of_very_different_growth_agree_with_their_thirtieths(law: SeiLaw, pack: Pack, duty: Duty) -> None:
    """The middle of a period is predicted from the one before: seasons, a car that stands still and one that starts."""
    month = law.exposures(duty, pack)[:28].sum(axis=0)
    share = np.tile([1.0, 0.2, 0.2, 0.0, 3.0, 3.0, 1.0, 0.5], 12)
    logs = np.random.default_rng(3).normal(0, 0.4, zeros(law, 20).shape)
    whole = law.project((share[:, None] * month)[None], ONE, logs)
    fine = law.project((np.repeat(share, 30)[:, None] / 30 * month)[None], ONE, logs)
    error_pp = 100 * np.abs(whole.capacity_frac - fine.capacity_frac[:, 29::30])
    assert whole.capacity_frac[:, -1].max() < 0.97
    assert error_pp.max() < 0.03


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.floats(-1.5, 1.5), st.floats(0.05, 1.0))
def test_larger_multipliers_never_age_less(which: int, at: float, more: float) -> None:
    pack = pack_of_cell()
    law = SeiLaw("nmc811_lgm50", "sei_ec")
    year = law.exposures(typical_duty(pack, 28), pack).sum(axis=0) * 13
    logs = np.zeros((2, 3))
    logs[:, which] = [at, at + more]
    run = law.project(np.tile(year, (1, 5, 1)), ONE, logs)
    assert np.all(run.capacity_frac[1] <= run.capacity_frac[0] + 1e-9)
    assert np.all(np.diff(run.capacity_frac, axis=1) <= 1e-12)


@pytest.mark.parametrize("periods", [12, 1])
def test_long_periods_agree_with_days(law: SeiLaw, pack: Pack, duty: Duty, periods: int) -> None:
    """Months err by 0.02 pp at most against daily recursion over ten years (a year at once by somewhat more)."""
    daily = law.exposures(duty, pack)
    years = 10
    by_day = law.project(np.tile(daily, (years, 1))[None], ONE, zeros(law))
    long = np.stack([part.sum(axis=0) for part in np.array_split(daily, periods)])
    by_period = law.project(np.tile(long, (years, 1))[None], ONE, zeros(law))
    error_pp = 100 * (by_period.capacity_frac[0, periods - 1 :: periods] - by_day.capacity_frac[0, 363::364])
    assert np.max(np.abs(error_pp)) < (0.02 if periods == 12 else 0.1)


def test_multipliers_are_exact_on_stored_growth(pack: Pack) -> None:
    """A law whose constants are scaled and a draw that carries the same factors agree (interpolation in thickness)."""
    law = SeiLaw("nmc811_lgm50", "sei_ec")
    duty = typical_duty(pack, 56)
    factors = {"kinetic": 1.7, "diffusion": 0.6, "wear": 1.4}
    logs = np.log([[factors[n] for n in law.multiplier_names]])
    drawn = law.project(law.exposures(duty, pack)[None], ONE, logs).capacity_frac[0, -1]
    k = law.tables.constants
    scaled = k._replace(
        kinetic_m_s=k.kinetic_m_s * 1.7,
        film_diffusivity_m2_s=k.film_diffusivity_m2_s * 0.6,
        wear_per_cycle_frac=k.wear_per_cycle_frac * 1.4,
    )
    tables = dataclasses.replace(law.tables, constants=scaled)
    steps = steps_of(duty, pack)
    state = kernel_run(steps, balanced_current(steps), segments_of(steps, 1.0), tables.new_state, tables)[-1]
    assert 100 * abs(drawn - tables.capacity_frac(state)) < 0.02


@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "leaf_40kwh", "lfp_prada2013"])
@pytest.mark.parametrize("law_id", sei.LAW_IDS)
def test_days_agree_with_the_exact_recursion_over_ten_years(cell_id: str, law_id: str) -> None:
    """Stored growth against the kernel re-anchored every day, currents following the present capacity; no wear."""
    pack = pack_of_cell(cell_id)
    law = SeiLaw(cell_id, law_id)
    year = typical_duty(pack, 364, export_frac=0.1)
    logs = zeros(law)
    logs[0, law.multiplier_names.index("wear")] = -30.0
    run = law.project(np.tile(law.exposures(year, pack), (10, 1))[None], ONE, logs)
    tables = dataclasses.replace(law.tables, constants=law.tables.constants._replace(wear_per_cycle_frac=0.0))
    steps = steps_of(year, pack)
    months = np.searchsorted(steps.day, np.arange(0, 365, 28))
    state = tables.new_state
    errors = []
    for y in range(10):
        for a, b in itertools.pairwise(months):
            month = Steps(*(getattr(steps, f.name)[a:b] for f in dataclasses.fields(Steps)))
            charge = balanced_current(month, tables.capacity_frac(state))
            state = kernel_run(month, charge, segments_of(month, 1.0), state, tables)[-1]
        errors.append(100 * (run.capacity_frac[0, 364 * (y + 1) - 1] - tables.capacity_frac(state)))
    assert np.max(np.abs(errors)) < 0.1, np.round(errors, 3)


def test_levels_are_interpolated_between(law: SeiLaw, pack: Pack) -> None:
    low, high = (law.exposures(typical_duty(pack, 28, export_frac=x), pack).sum(axis=0) * 13 for x in (0.0, 0.2))
    levels = np.stack([np.tile(low, (10, 1)), np.tile(high, (10, 1))])
    fade = [
        law.project(e, np.array(c), zeros(law)).capacity_frac[0, -1]
        for e, c in (
            (levels[:1], [1.0]),
            (levels, [1.0, 0.7]),
            (levels[1:], [1.0]),
        )
    ]
    assert fade[2] < fade[1] < fade[0]


@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "nmc532_mohtat2020", "lco_ai2020", "lfp_prada2013"])
def test_capacity_grid_is_fine_enough(cell_id: str) -> None:
    """Interpolated capacity against bisection, also far below 70 %, where measured anode curves bring kinks."""
    law = SeiLaw(cell_id, "sei_ec")
    t, k = law.tables, law.tables.constants
    rng = np.random.default_rng(3)
    lithium, anode = rng.uniform(0, 0.45, 3000), rng.uniform(0, 0.2, 3000)
    sizes = (t.esoh.lithium_ah, t.esoh.anode_ah, t.esoh.cathode_ah, k.cathode_wear_ratio)
    limits = (t.esoh.voltage_min_v, t.esoh.voltage_max_v, t.esoh.anode_ocp_v, t.esoh.cathode_ocp_v)
    grid, slope = balance_grid(*sizes, *limits)
    mine = np.array([balance_at(grid, slope, q, a)[0] for q, a in zip(lithium, anode, strict=True)]) / k.capacity_ah
    exact = capacity_frac(lithium, anode, k.cathode_wear_ratio * anode, t.esoh)
    error_pp = 100 * np.abs(mine - exact)
    assert np.min(exact) < 0.55
    assert np.quantile(error_pp, 0.99) < 0.01
    assert np.max(error_pp) < 0.06
    assert np.max(error_pp[anode < 0.06]) < 0.03


def _lithium_errors(
    cell_id: str, law_id: str, starts: tuple[float, ...], policy_id: str = "evening_peak", climate: str = "mild"
) -> list[float]:
    """Lithium lost in ten years by daily exposures against 16 or more sub-steps a day, relative, by what is lost."""
    law, pack = SeiLaw(cell_id, law_id), v2h_pack(cell_id)
    duty = v2h_duty(pack, policy_id=policy_id, climate=climate, step_minutes=90)
    errors = []
    for lost in starts:
        start = law.tables.aged_state(lost)
        exact = kernel_path(law, duty, pack, start, 10, anchor_days=1.0)
        cap, lithium, _ = daily_path(law, duty, pack, start, 10)
        errors.append(drift(law, start, exact.states, cap, lithium).lithium_error_frac)
    return errors


@pytest.mark.parametrize("law_id", sei.LAW_IDS)
@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "lfp_prada2013"])
def test_daily_exposures_lose_the_lithium_of_sixteen_substeps(cell_id: str, law_id: str) -> None:
    """Ten years of V2H, wear included, from new and from aged cells: within 0.1 % of the lithium lost."""
    errors = _lithium_errors(cell_id, law_id, (0.0, 0.1, 0.2))
    assert np.max(np.abs(errors)) < 1e-3, errors


@pytest.mark.slow
@pytest.mark.parametrize("law_id", sei.LAW_IDS)
@pytest.mark.parametrize(
    "cell_id", ["nmc811_lgm50", "nmc811_chen2020", "nmc532_mohtat2020", "lco_ai2020", "lfp_prada2013"]
)
def test_daily_exposures_lose_the_lithium_of_substeps_from_every_start(cell_id: str, law_id: str) -> None:
    """As above for all five parameter sets, in steps of 5 % of the lithium."""
    errors = _lithium_errors(cell_id, law_id, (0.0, 0.05, 0.1, 0.15, 0.2))
    assert np.max(np.abs(errors)) < 1e-3, errors


@pytest.mark.slow
@pytest.mark.parametrize("law_id", sei.LAW_IDS)
@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "nmc532_mohtat2020"])
@pytest.mark.parametrize("kind", [("no_export_immediate", "mild"), ("no_export_smart", "hot"), ("backup_only", "cold")])
def test_cars_that_park_at_one_charge_lose_the_lithium_of_substeps(
    kind: tuple[str, str], cell_id: str, law_id: str
) -> None:
    """A kink of the anode's curve where a car always parks is neither skipped nor counted twice (1.6 % once)."""
    errors = _lithium_errors(cell_id, law_id, (0.0, 0.05, 0.1, 0.15, 0.2), *kind)
    assert np.max(np.abs(errors)) < 2.5e-3, errors


@pytest.mark.parametrize("capacity_frac", [1.0, 0.75])
def test_a_step_of_both_signs_is_its_halves(law: SeiLaw, pack: Pack, capacity_frac: float) -> None:
    """Discharge and charge within an hour, of a new and of an aged cell: as if written in steps of half an hour."""
    rng = np.random.default_rng(7)
    hours = 96
    half = rng.uniform(0.01, 0.1, (hours, 2)) * [-1.0, 1.0]
    half[::3] = rng.uniform(-0.05, 0.05, (len(half[::3]), 1))  # hours of one sign
    for i in range(1, hours):
        if half[i].sum() * half[:i].sum() > 0.0:  # back to where it began: as the mirrored hour, discharge first
            half[i] = -half[i, ::-1]
    soc = 0.6 + np.concatenate([[0.0], np.cumsum(half.ravel())]) / capacity_frac
    current = np.zeros((hours, 4))
    current[:, 0], current[:, 1] = np.minimum(half, 0.0).sum(axis=1), np.maximum(half, 0.0).sum(axis=1)
    amps, start = pack.capacity_ah, np.datetime64("2025-01-01", "us")
    present, temp_c = capacity_frac * amps, 20.0 + rng.uniform(-5, 5, hours)
    whole = Duty(start, 60, soc[::2], temp_c, current * amps, present, np.zeros(hours, np.uint8))
    fine = np.zeros((2 * hours, 4))
    fine[:, 0] = 2.0 * half.ravel() * amps
    halves = Duty(start, 30, soc, np.repeat(temp_c, 2), fine, present, np.zeros(2 * hours, np.uint8))
    a, b = law.exposures(whole, pack), law.exposures(halves, pack)
    used = np.flatnonzero((law.fullness > 0.6) & (law.fullness < 1.02))
    np.testing.assert_allclose(a[:, used], b[:, used], rtol=8e-3)  # an hour is cut at other places


def test_too_few_windows_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure above tells a coarse law from a fine one."""
    for windows in (sei_grid.FULLNESS, sei_grid.MOVING):
        monkeypatch.setitem(windows, "sei_interstitial", np.array([0.5, 0.8, 1.0, 1.1]))
    monkeypatch.setitem(sei_grid.COARSE, "sei_interstitial", np.arange(4))
    assert abs(_lithium_errors("nmc811_lgm50", "sei_interstitial", (0.0,))[0]) > 1e-3


def test_wrong_shapes_are_named(law: SeiLaw) -> None:
    with pytest.raises(ValueError, match="exposures need shape"):
        law.project(np.zeros((1, 2, 3)), ONE, zeros(law))
    with pytest.raises(ValueError, match="log_multipliers need shape"):
        law.project(np.zeros((1, 2, len(law.exposure_names))), ONE, np.zeros((1, 7)))


def test_range_check_counts_what_lies_outside(law: SeiLaw, pack: Pack) -> None:
    duty = typical_duty(pack, 10)
    assert law.range_check(duty, pack).outside_frac == 0
    hot = dataclasses.replace(duty, temp_c=np.where(np.arange(240) < 60, 50.0, 20.0))
    check = law.range_check(hot, pack)
    assert check.outside_frac == pytest.approx(0.25)
    assert check.by_variable["temp_c"] == pytest.approx(0.25)
    assert check.by_variable["c_rate"] == 0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(-30, 50), st.floats(-0.5, 0), st.floats(0, 0.5)), min_size=1, max_size=12
    )
)
def test_substeps_keep_time_soc_and_throughput(rows: list[tuple[float, float, float, float]]) -> None:
    soc = np.array([0.5, *(r[0] for r in rows)])
    current = np.array([[r[2], r[3], 0.0, 0.0] for r in rows])
    hours, rate, _, start, end, step = substeps(soc, np.array([r[1] for r in rows]), current, 1.0, np.empty(0))
    assert hours.sum() == pytest.approx(len(rows))
    np.testing.assert_allclose(start[1:], end[:-1], atol=1e-12)
    assert end[-1] == pytest.approx(soc[-1])
    assert np.all(np.abs(end - start) <= SUBSTEP_SOC + 1e-9)
    both = np.minimum(-current[:, 0], current[:, 1]) > 2e-3
    throughput = np.where(both, np.abs(current).sum(axis=1), np.abs(current.sum(axis=1)))
    for i in range(len(rows)):
        assert np.sum((np.abs(rate) * hours)[step == i]) == pytest.approx(throughput[i], abs=1e-9)


@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "leaf_40kwh", "nmc811_chen2020", "lco_ai2020"])
def test_stated_speeds_are_the_calibrated_ones(cell_id: str) -> None:
    """Repeats the fit that laws.toml states: factors of one, and a plausible first ten years."""
    pack = pack_of_cell(cell_id)
    duty = typical_duty(pack)
    for law in members(cell_id):
        for name, factor in fit_speed(law, duty, pack, NMC_FADE_FRAC).items():
            assert factor == pytest.approx(1.0, abs=0.02), (law.law_id, name)
        fade = fade_by_year(law, duty, pack, 10, zeros(law))[0]
        assert 0.02 < fade[0] < 0.06
        assert 0.10 < fade[9] < 0.18


def test_high_soc_ages_faster_and_export_costs_little(law: SeiLaw, pack: Pack) -> None:
    base, full, export = (
        fade_by_year(law, typical_duty(pack, 364, **kw), pack, 10, zeros(law))[0, -1]
        for kw in ({}, {"top_cell_soc": 0.95}, {"export_frac": 10 / 60})
    )
    assert full > base
    assert -0.01 < export - base < 0.09


def test_daily_run_moves_the_state(law: SeiLaw, pack: Pack) -> None:
    state = daily_run(law, typical_duty(pack, 7), pack, law.tables.new_state)
    assert np.all(state > law.tables.new_state)
