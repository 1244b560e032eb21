"""Semi-empirical laws: calendar and cycling loss as power laws of time and throughput.

With y = k x^p and a varying k, z = y^(1/p) grows by k^(1/p) dx: the daily exposures are the increments of z, one for
each term. Exact as long as p is constant and every term has a z of its own; a multiplier m of k enters z as m^(1/p).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from models.domain import Duty, FloatArray, IntArray, OcvCurve, Pack
from models.laws import power_kernel as kernel
from models.laws.base import Projection, RangeCheck
from models.laws.power_project import recursion
from models.laws.power_rates import CalendarRate, CyclingRate, calendar_rate, cycling_rate
from models.laws.power_store import TABLE_SOC, as_table, table_axes
from models.laws.vector_math import power
from models.parameters import Entry, entry

_VERSION = 8
_KELVIN = 273.15
_VOLTAGES = 2001
_NO_VOLTAGE = np.full(1, np.nan)
_WHOLE_STEP = np.empty(0)
_TABLES_KEPT = 16
_STACKS_KEPT = 4
_EDGE = 1e-6  # a condition on the edge of a range is within it, whatever rounding says
EXPOSURE_NAMES = ("calendar_z", "cycling_z", "days", "full_cycles")
MULTIPLIER_NAMES = ("calendar", "cycling")


@dataclass(frozen=True, eq=False)
class HalfCycles:
    """A duty's half cycles, shape (m,) each; two of a full one, each with its own stretch of the trace.

    Parameters
    ----------
    depth, mean_soc
        Height and middle of the range in cell SOC of the present capacity. [1]
    full_cycles
        Throughput over twice the capacity when new. [1]
    volt_rms
        Root mean square of the open-circuit voltage of one cell along the stretch. [V]
    c_rate, temp_k
        Mean over the stretch, weighted by throughput. [1/h], [K]
    day
        Day on which the stretch ends.
    """

    depth: FloatArray
    mean_soc: FloatArray
    full_cycles: FloatArray
    volt_rms: FloatArray
    c_rate: FloatArray
    temp_k: FloatArray
    day: IntArray


def half_cycles(duty: Duty, pack: Pack) -> HalfCycles:
    """Rainflow of a duty's cell SOC, with the conditions of every half cycle.

    Limits
    ------
    Changes of direction within one step are not seen. The C-rate is the duty's ``flow_a``, the current while it flows;
    a duty without it is taken to flow for the whole step, which understates drives shorter than a step.
    """
    days = -(-duty.steps // _steps_per_day(duty))
    half, day, _ = _pass(duty, pack, np.zeros((1, 2, 2, 2), dtype=np.float64), np.empty((1, days)))
    return _half(half, day)


def _half(half: FloatArray, day: IntArray) -> HalfCycles:
    return HalfCycles(
        depth=half[kernel.DEPTH],
        mean_soc=half[kernel.MEAN],
        full_cycles=half[kernel.FULL],
        volt_rms=half[kernel.VOLT],
        c_rate=half[kernel.RATE],
        temp_k=half[kernel.TEMP],
        day=day,
    )


def _pass(
    duty: Duty, pack: Pack, tables: FloatArray, stored: FloatArray, with_voltage: bool = True
) -> tuple[FloatArray, IntArray, bool]:
    return kernel.duty_pass(
        duty.cell_soc_frac,
        duty.temp_c,
        duty.current_a,
        _WHOLE_STEP if duty.flow_a is None else duty.flow_a,
        1.0 / pack.capacity_ah,
        duty.capacity_ah / pack.capacity_ah,
        duty.step_hours,
        _steps_per_day(duty),
        tables,
        _voltages(pack.ocv.cell_soc_frac.tobytes(), pack.ocv.ocv_v.tobytes()) if with_voltage else _NO_VOLTAGE,
        stored,
    )


@lru_cache(maxsize=64)
def _voltages(soc: bytes, volt: bytes) -> FloatArray:
    """A voltage curve on a uniform grid, so that a lookup needs no search. [V]"""
    grid = np.interp(np.linspace(0.0, 1.0, _VOLTAGES), np.frombuffer(soc), np.frombuffer(volt))
    return np.asarray(grid, dtype=float)


_TABLES: OrderedDict[tuple[str, str, bytes, bytes], FloatArray] = OrderedDict()
"""Storage tables by law, version and voltage curve: made once a process (10 ms, 1.5 MB each)."""
_STACKS: OrderedDict[tuple[tuple[tuple[str, str], ...], bytes, bytes], FloatArray] = OrderedDict()
"""The tables of a cell's laws one after the other, for one pass over a duty."""


def _steps_per_day(duty: Duty) -> int:
    return 24 * 60 // duty.step_minutes


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """Capacity = 1 - z_cal^p_cal - z_cyc^p_cyc (implements `models.laws.base.Law`).

    Parameters
    ----------
    exponents
        Of the calendar and the cycling term. [1]
    ranges
        Variable -> (low, high) within which the law was found: ``temp_c``, ``cell_soc_frac`` of time, ``depth_frac``,
        ``c_rate_per_h``, ``cycling_temp_c`` of cycles.
    limits
        In words, for the page.
    """

    law_id: str
    label: str
    version: str
    chemistry: str
    source: str
    exponents: tuple[float, float]
    multiplier_sigma: tuple[float, ...]
    calendar: CalendarRate
    cycling: CyclingRate
    ranges: dict[str, tuple[float, float]]
    limits: str

    @property
    def exposure_names(self) -> tuple[str, ...]:
        """Increments of both z, and the time and full cycles they came from (kept as a check)."""
        return EXPOSURE_NAMES

    @property
    def multiplier_names(self) -> tuple[str, ...]:
        """Names of the log-multipliers of the two rates."""
        return MULTIPLIER_NAMES

    @property
    def day_by_day(self) -> bool:
        """A range of charge may close months after it began: the count of cycles runs on."""
        return False

    def exposures(self, duty: Duty, pack: Pack) -> FloatArray:
        """Daily exposures, shape (days, 4); a half cycle counts on the day on which it ends."""
        return exposures_of((self,), (duty,), pack)[0][self.law_id]

    def _table(self, ocv: OcvCurve) -> FloatArray:
        """Growth of the storage term a day, over SOC and temperature."""
        key = (self.law_id, self.version, ocv.cell_soc_frac.tobytes(), ocv.ocv_v.tobytes())
        table = _TABLES.get(key)
        if table is None:
            soc, temp_c = table_axes()
            soc, temp_c = (np.ascontiguousarray(x.ravel()) for x in np.meshgrid(soc, temp_c, indexing="ij"))
            k = self.calendar(temp_c + _KELVIN, soc, ocv.voltage_v(soc))
            z = np.power(k, 1.0 / self.exponents[0]).reshape(TABLE_SOC, -1)
            table = _TABLES[key] = as_table(z)
            while len(_TABLES) > _TABLES_KEPT:
                _TABLES.popitem(last=False)
        return table

    def _calendar_z(self, duty: Duty, pack: Pack) -> FloatArray:
        soc = 0.5 * (duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1])
        k = self.calendar(duty.temp_c + _KELVIN, soc, pack.ocv.voltage_v(soc))
        return np.power(k, 1.0 / self.exponents[0]) * (duty.step_hours / 24.0)

    def _cycling_z(self, half: HalfCycles) -> FloatArray:
        return power(self._cycling_k(half), 1.0 / self.exponents[1]) * half.full_cycles

    def _cycling_k(self, half: HalfCycles) -> FloatArray:
        return self.cycling(half.depth, half.volt_rms, half.c_rate, half.temp_k, half.mean_soc)

    @cached_property
    def reads_voltage(self) -> bool:
        """Whether the cycling rate depends on voltage: if not, no voltage is looked up."""
        one = np.full(1, 0.5)
        half = HalfCycles(one, one, one, np.full(1, np.nan), one, 600.0 * one, np.zeros(1, dtype=np.int64))
        return bool(np.isnan(self._cycling_k(half)).any())

    def project(
        self,
        exposures: FloatArray,
        level_capacity_frac: FloatArray,
        log_multipliers: FloatArray,
        state: FloatArray | None = None,
        order: IntArray | None = None,
    ) -> Projection:
        """Project capacity along periods (see `models.laws.base.Law.project`).

        The level is chosen by the capacity at the start of a period; between two levels exposures are linear in one
        over the capacity, as swings of a given energy are; outside the levels the nearest one holds.

        Raises
        ------
        ValueError
            Shapes do not fit, or the levels do not decrease.
        """
        e = np.ascontiguousarray(exposures, dtype=float)
        levels = np.ascontiguousarray(level_capacity_frac, dtype=float)
        logs = np.atleast_2d(np.asarray(log_multipliers, dtype=float))
        if e.ndim != 3 or e.shape[0] != levels.shape[0] or e.shape[2] < 2 or logs.shape[1] != len(MULTIPLIER_NAMES):
            raise ValueError(
                f"{self.law_id}: project needs exposures (levels, periods, k), as many levels and two multipliers a "
                f"draw; got {e.shape}, {levels.shape} and {logs.shape}."
            )
        if levels.size > 1 and np.any(np.diff(levels) >= 0):
            raise ValueError(f"{self.law_id}: level_capacity_frac must decrease, got {levels.tolist()}.")
        powers = np.array(self.exponents)
        rows = np.arange(e.shape[1]) if order is None else np.asarray(order, dtype=np.int64)
        draws, periods = logs.shape[0], rows.size
        after = np.zeros((draws, 2)) if state is None else np.array(state, dtype=float)
        calendar, cycling, capacity = (np.empty((draws, periods)) for _ in range(3))
        recursion(e, rows, levels, np.exp(logs / powers), powers, after, calendar, cycling, capacity)
        return Projection(capacity, after, {"calendar": calendar, "cycling": cycling})

    def range_check(self, duty: Duty, pack: Pack) -> RangeCheck:
        """Share of the exposure outside the tested range; both terms weighed by the loss they cause alone."""
        soc = 0.5 * (duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1])
        half = half_cycles(duty, pack)
        calendar, any_calendar, y_calendar = self._outside(
            self._calendar_z(duty, pack), {"temp_c": duty.temp_c, "cell_soc_frac": soc}, 0
        )
        cycling, any_cycling, y_cycling = self._outside(
            self._cycling_z(half),
            {"depth_frac": half.depth, "c_rate_per_h": half.c_rate, "cycling_temp_c": half.temp_k - _KELVIN},
            1,
        )
        total = y_calendar + y_cycling
        outside = 0.0 if total == 0 else (any_calendar * y_calendar + any_cycling * y_cycling) / total
        return RangeCheck(float(outside), calendar | cycling)

    def _outside(
        self, z: FloatArray, variables: dict[str, FloatArray], term: int
    ) -> tuple[dict[str, float], float, float]:
        total = float(z.sum())
        if total == 0:
            return dict.fromkeys(variables, 0.0), 0.0, 0.0
        masks = {
            name: (x < self.ranges[name][0] - _EDGE) | (x > self.ranges[name][1] + _EDGE)
            for name, x in variables.items()
            if name in self.ranges
        }
        shares = {name: float(z[mask].sum()) / total for name, mask in masks.items()}
        union = np.zeros(z.shape, dtype=bool)
        for mask in masks.values():
            union |= mask
        return shares, float(z[union].sum()) / total, total ** self.exponents[term]


def exposures_of(laws: Sequence[PowerLaw], duties: Sequence[Duty], pack: Pack) -> list[dict[str, FloatArray]]:
    """Daily exposures of several laws with one pass over each duty; the same numbers as each law and duty alone.

    Returns
    -------
    list of dict[str, FloatArray]
        Of each duty law_id -> shape (days, 4); a half cycle counts on the day on which it ends.
    """
    tables, with_voltage = _tables(laws, pack.ocv), any(law.reads_voltage for law in laws)
    passed: list[tuple[FloatArray, FloatArray, IntArray, float]] = []
    for duty in duties:
        per_day = _steps_per_day(duty)
        days = -(-duty.steps // per_day)
        stored = np.empty((len(laws), days))
        half, day, inside = _pass(duty, pack, tables, stored, with_voltage)
        if not inside:  # colder or hotter than the table: step by step
            for q, law in enumerate(laws):
                stored[q] = np.bincount(np.arange(duty.steps) // per_day, law._calendar_z(duty, pack), days)
        passed.append((stored, half, day, duty.steps / per_day - (days - 1)))
    halves = [half for _, half, *_ in passed]
    every = halves[0] if len(halves) == 1 else np.concatenate(halves, axis=1)
    stress = tuple(every[i] for i in (kernel.DEPTH, kernel.VOLT, kernel.RATE, kernel.TEMP, kernel.MEAN))
    growth = [power(law.cycling(*stress), 1.0 / law.exponents[1]) for law in laws]
    out: list[dict[str, FloatArray]] = []
    first = 0
    for stored, half, day, last_day in passed:
        own = slice(first, first + day.size)
        first += day.size
        out.append(
            {
                law.law_id: kernel.by_day(stored[q], last_day, day, growth[q][own], half[kernel.FULL])
                for q, law in enumerate(laws)
            }
        )
    return out


def _tables(laws: Sequence[PowerLaw], ocv: OcvCurve) -> FloatArray:
    """Storage tables of laws one after the other, shape (laws, soc, temp, 2), kept while they and the curve last."""
    if len(laws) == 1:
        return laws[0]._table(ocv)[None]
    key = (tuple((law.law_id, law.version) for law in laws), ocv.cell_soc_frac.tobytes(), ocv.ocv_v.tobytes())
    stack = _STACKS.get(key)
    if stack is None:
        stack = _STACKS[key] = np.stack([law._table(ocv) for law in laws])
        while len(_STACKS) > _STACKS_KEPT:
            _STACKS.popitem(last=False)
    return stack


def power_law(law_id: str, home: Path | None = None, kind: str = "laws_power") -> PowerLaw:
    """A power law by its name in ``parameters/laws_power.toml`` or another file of laws of this form.

    Raises
    ------
    models.parameters.ParameterError
        There is no such entry, or it lacks a parameter.
    """
    return _build(entry(kind, law_id, home))


def _build(e: Entry) -> PowerLaw:
    valid = {n.removeprefix("valid_"): p.value for n, p in e.parameters.items() if n.startswith("valid_")}
    return PowerLaw(
        law_id=e.entry_id,
        label=e.label,
        version=f"{_VERSION}.{e.sha256}",
        chemistry=e.text("chemistry"),
        source=e["calendar_form"].source,
        exponents=(e.number("calendar_exponent"), e.number("cycling_exponent")),
        multiplier_sigma=(e.number("calendar_sigma"), e.number("cycling_sigma")),
        calendar=calendar_rate(e),
        cycling=cycling_rate(e),
        ranges={n: (float(v[0]), float(v[1])) for n, v in valid.items()},
        limits=e.text("limits"),
    )
