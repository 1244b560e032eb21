"""Every law of the registry: resume = one-shot, time and cycles conserved, exact, the same at any step length."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from models.domain import Duty, FloatArray, Pack
from models.duty import flow_current
from models.laws.base import Law
from models.laws.power import PowerLaw, half_cycles
from models.laws.registry import laws_for
from models.packs import ocv_of
from models.parameters import load

pytestmark = pytest.mark.slow  # tables of six SEI members; minutes of two weeks
ONE = np.ones(1)
MINUTES = 14 * 24 * 60


def all_laws() -> list[tuple[str, Law]]:
    """Each law once, with a cell it speaks for."""
    seen: dict[tuple[str, bool], tuple[str, Law]] = {}
    for cell_id in load("cells"):
        for law in laws_for(cell_id):
            power = isinstance(law, PowerLaw)
            seen.setdefault((law.law_id if power else f"{law.law_id} {law.chemistry}", power), (cell_id, law))
    return list(seen.values())


LAWS = pytest.mark.parametrize(("cell_id", "law"), all_laws(), ids=lambda x: x if isinstance(x, str) else x.law_id)


@lru_cache(maxsize=8)
def pack_of_cell(cell_id: str) -> Pack:
    return Pack("t", cell_id, "", 96, 160.0, 60.0, 57.0, 57.0, 0.03, 0.97, 0.1, ocv_of(cell_id), 4e5, 10.0)


@lru_cache(maxsize=4)
def life(step_minutes: int, by_the_hour: bool = True) -> Duty:
    """Two weeks of drives, export in the evening and charge by night, of whole hours or as begun; then averaged."""
    rng = np.random.default_rng(7)
    amps = np.zeros((MINUTES, 4))
    for day in range(14):
        at = day * 1440
        out, back = at + int(rng.integers(400, 500)), at + int(rng.integers(960, 1060))
        for begin in (out, back):
            amps[begin : begin + int(rng.integers(20, 51)), 0] = -rng.uniform(15.0, 30.0)
        amps[at + 1110 : at + 1110 + int(rng.integers(100, 180)), 2] = -12.0
        if day < 13:
            missing = -amps[: at + 1440].sum() / 60.0
            amps[at + 1440 + 70 : at + 1440 + 310, 1] = missing / 4.0
    if by_the_hour:
        amps = amps.reshape(-1, 60, 4).mean(axis=1).repeat(60, axis=0)
    soc = 0.8 + np.concatenate([[0.0], np.cumsum(amps.sum(axis=1))]) / 60.0 / 160.0
    minute = np.arange(MINUTES)
    temp = 15.0 + 5.0 * np.sin(2 * np.pi * minute / 1440) + np.repeat(rng.normal(0, 3, 14), 1440)
    n = MINUTES // step_minutes
    by_step = amps.reshape(n, -1, 4)
    flow = flow_current(by_step.sum(axis=1) / 60.0, 60.0 * (by_step != 0).sum(axis=1))
    return Duty(
        np.datetime64("2024-01-01"), step_minutes, soc[::step_minutes], temp.reshape(n, -1).mean(axis=1),
        by_step.mean(axis=1), 160.0, np.zeros(n, np.uint8), flow,
    )  # fmt: skip


def ten_years(law: Law, exposures: FloatArray) -> FloatArray:
    month = exposures.sum(axis=0) * (365.25 / 12 / 14)
    logs = np.zeros((1, len(law.multiplier_names)))
    return law.project(np.tile(month, (1, 120, 1)), ONE, logs).capacity_frac[0]


@LAWS
def test_hours_and_minutes_say_the_same(cell_id: str, law: Law) -> None:
    """1 h, 5 min and 1 min inputs of the same life agree within 0.05 pp after ten years, drives of 20 minutes too."""
    pack = pack_of_cell(cell_id)
    for by_the_hour in (True, False):
        ends = [ten_years(law, law.exposures(life(m, by_the_hour), pack))[-1] for m in (1, 5, 60)]
        assert 0.2 < ends[0] < 0.999
        assert 100 * (max(ends) - min(ends)) <= 0.05, (by_the_hour, [100 * (1 - x) for x in ends])


@LAWS
def test_time_and_full_cycles_are_those_of_the_duty(cell_id: str, law: Law) -> None:
    pack, duty = pack_of_cell(cell_id), life(60)
    e = law.exposures(duty, pack)
    cycles = e[:, law.exposure_names.index("full_cycles")].sum()
    if isinstance(law, PowerLaw):  # counted by rainflow: by changes of charge
        assert e[:, 2].sum() == pytest.approx(duty.steps / 24.0, abs=1e-9)
        assert cycles == pytest.approx(np.abs(np.diff(duty.cell_soc_frac)).sum() / 2, rel=1e-9)
    else:  # counted by currents, a step with both signs as both
        up, down = np.maximum(duty.current_a, 0.0).sum(axis=1), np.maximum(-duty.current_a, 0.0).sum(axis=1)
        both = np.minimum(up, down) / pack.capacity_ah > 2e-3
        moved = np.where(both, up + down, np.abs(up - down)).sum() / 2 / pack.capacity_ah
        assert cycles == pytest.approx(moved, rel=1e-9)


@LAWS
def test_resume_equals_one_shot(cell_id: str, law: Law) -> None:
    e = law.exposures(life(60), pack_of_cell(cell_id))
    levels = np.array([1.0, 0.9, 0.8, 0.7])
    e = np.stack([e * f for f in (30.0, 33.0, 37.0, 41.0)])
    logs = np.random.default_rng(2).normal(0, 0.4, (7, len(law.multiplier_names)))
    whole = law.project(e, levels, logs)
    first = law.project(e[:, :5], levels, logs)
    second = law.project(e[:, 5:], levels, logs, first.state)
    np.testing.assert_allclose(second.capacity_frac, whole.capacity_frac[:, 5:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(second.state, whole.state, rtol=1e-12)


@pytest.mark.parametrize("law", [x for _, x in all_laws() if isinstance(x, PowerLaw)], ids=lambda x: x.law_id)
def test_power_laws_are_exact(law: PowerLaw) -> None:
    """Two weeks stretched to ten years against the law's own inversion step by step, within 0.01 pp."""
    pack, duty = pack_of_cell("nmc811_lgm50"), life(60)
    stretch = 3652.5 / 14
    parts = (np.arange(20) + 0.5) / 20  # of a step, along which SOC runs straight
    soc = (duty.cell_soc_frac[:-1, None] + np.diff(duty.cell_soc_frac)[:, None] * parts).ravel()
    temp_k = duty.temp_c.repeat(20) + 273.15
    half = half_cycles(duty, pack)
    losses = []
    for rate, amount, p in (
        (law.calendar(temp_k, soc, pack.ocv.voltage_v(soc)), np.full(soc.size, 1 / 480), 0),
        (law._cycling_k(half), half.full_cycles, 1),
    ):
        y, power = 0.0, law.exponents[p]
        for k, x in zip(rate, stretch * amount, strict=True):
            y = k * ((y / k) ** (1 / power) + x) ** power if k > 0 else y
        losses.append(y)
    month = law.exposures(duty, pack).sum(axis=0) * stretch / 120
    mine = law.project(np.tile(month, (1, 120, 1)), ONE, np.zeros((1, 2))).components
    assert 100 * abs(mine["calendar"][0, -1] - losses[0]) <= 0.01
    assert 100 * abs(mine["cycling"][0, -1] - losses[1]) <= 0.01
