"""What really happens to the simulated cells: a few archetypes run in PyBaMM, and how a vehicle follows them.

The archetypes use SEI laws and a loss of active material that no fitted law uses (``parameters/synthetic.toml``), so
that a fit cannot find its own formula again. One archetype = cell x climate x with or without export, one solve over
the whole life, every day the same but for the season.

Limits: one simulated day stands for many (side reactions and season run so much faster), which is exact as long as the
losses of one such day are small; the archetype's depth of discharge does not grow as capacity falls; temperature is
that of the air.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.domain import DAYS_PER_YEAR, FloatArray
from models.parameters import entry

HOUR_S = 3600.0
RAMP_S = 20.0
INITIAL_SEI_M = 5e-9
POINTS_PER_YEAR = 2
_OUTPUTS = (
    "Negative electrode capacity [A.h]",
    "Positive electrode capacity [A.h]",
    "Total lithium capacity in particles [A.h]",
)
_DONATED = (
    "SEI",
    "LAM",
    "Poisson",
    "Young",
    "volume change",
    "critical stress",
    "free of deformation",
    "molar",
    "solvent",
)


@dataclass(frozen=True)
class ArchetypeSpec:
    """One life to simulate: cell, climate, with export or without, and for how long. [a]"""

    cell_id: str
    climate: str
    export: bool
    years: int


@dataclass(frozen=True, eq=False)
class Archetype:
    """Loss of capacity of the mean cell along an archetype's life.

    Parameters
    ----------
    age_years
        Increasing from 0, shape (n,). [a]
    loss_frac
        1 - capacity / capacity as new, shape (n,). [1]
    """

    spec: ArchetypeSpec
    age_years: FloatArray
    loss_frac: FloatArray

    def loss(self, age_years: FloatArray | float) -> FloatArray:
        """Loss at an age, linear between the points. [1]"""
        return np.asarray(np.interp(age_years, self.age_years, self.loss_frac))


def archetype_specs(cells_climates: set[tuple[str, str]], years: int) -> tuple[ArchetypeSpec, ...]:
    """With and without export for every pair of cell and climate, in a fixed order."""
    return tuple(ArchetypeSpec(cell, air, on, years) for cell, air in sorted(cells_climates) for on in (False, True))


def export_per_day_frac() -> float:
    """What the exporting archetypes export a day, over the capacity as new. [1]"""
    return entry("synthetic", "truth_duty").number("export_frac")


def _day(export: bool) -> list[tuple[float, float]]:
    """Hours and C-rates (discharge positive, PyBaMM's sign) of the repeated day, from midnight; its sum is zero."""
    d = entry("synthetic", "truth_duty")
    drive_h, drive_c, evening_h = d.number("drive_hours"), d.number("drive_c_rate"), d.number("export_hours")
    out_frac = d.number("export_frac") if export else 0.0
    charge_c = d.number("charge_c_rate")
    charge_h = (2 * drive_h * drive_c + out_frac) / charge_c
    parts = [(7.5, 0.0), (drive_h, drive_c), (9.0, 0.0), (drive_h, drive_c), (evening_h, out_frac / evening_h)]
    rest_h = 24.0 - sum(h for h, _ in parts) - charge_h
    return [*parts, (rest_h, 0.0), (charge_h, -charge_c)]


def _current(days: int, day: list[tuple[float, float]], nominal_ah: float) -> tuple[FloatArray, FloatArray]:
    """Breakpoints of a piecewise-linear current with short ramps, [s] and [A]."""
    ends = np.cumsum(np.tile([h * HOUR_S for h, _ in day], days))
    amps = np.tile([c * nominal_ah for _, c in day], days)
    change = np.flatnonzero(amps[1:] != amps[:-1])
    t = np.concatenate(([0.0], np.column_stack((ends[change], ends[change] + RAMP_S)).ravel(), [ends[-1]]))
    i = np.concatenate(([amps[0]], np.column_stack((amps[change], amps[change + 1])).ravel(), [amps[-1]]))
    return t, i


def _parameter_values(pybamm: Any, spec: ArchetypeSpec, speed: float) -> Any:
    e = entry("synthetic", f"truth_{spec.cell_id}")
    values = pybamm.ParameterValues(e.text("parameter_set"))
    donor = pybamm.ParameterValues(e.text("donor_set"))
    donated = {k: donor[k] for k in donor.keys() if any(w in k for w in _DONATED) and k not in values.keys()}  # noqa: SIM118
    sei, wear = e.text("sei_parameter"), "Negative electrode LAM constant proportional term [s-1]"
    values.update(
        donated
        | {
            sei: e.number("sei_scale") * speed * donor[sei],
            wear: e.number("wear_scale") * speed * donor[wear],
            "Negative electrode LAM constant exponential term": e.number("wear_exponent"),
            "SEI growth activation energy [J.mol-1]": e.number("sei_activation_j_per_mol"),
            "Initial SEI thickness [m]": INITIAL_SEI_M,
        },
        check_already_exists=False,
    )
    air = entry("synthetic", f"climate_{spec.climate}")
    mean_k, season_k = 273.15 + air.number("mean_c"), air.number("season_c")
    pace = 2 * np.pi * speed / (DAYS_PER_YEAR * 24 * HOUR_S)
    values["Ambient temperature [K]"] = lambda y, z, t: mean_k - season_k * pybamm.cos(pace * t)
    values["Initial temperature [K]"] = mean_k - season_k
    return values


def run_archetype(spec: ArchetypeSpec) -> Archetype:
    """Simulate one archetype: single-particle model, one IDAKLU solve, capacity through PyBaMM's own eSOH.

    Raises
    ------
    ParameterError
        ``parameters/synthetic.toml`` has no truth for the cell.
    """
    from models.cell import pybamm_module

    pybamm = pybamm_module()
    d = entry("synthetic", "truth_duty")
    speed = d.number("days_per_day")
    values = _parameter_values(pybamm, spec, speed)
    days = round(spec.years * DAYS_PER_YEAR / speed)
    t, amps = _current(days, _day(spec.export), float(values["Nominal cell capacity [A.h]"]))
    values["Current function [A]"] = pybamm.Interpolant(t, amps, pybamm.t, interpolator="linear")
    options = {
        "SEI": entry("synthetic", f"truth_{spec.cell_id}").text("sei"),
        "loss of active material": ("stress-driven", "none"),
        "particle": "quadratic profile",
    }
    model = pybamm.lithium_ion.SPM(options)
    model.events = []
    solver = pybamm.IDAKLUSolver(
        rtol=1e-5, atol=1e-8, output_variables=list(_OUTPUTS), options={"max_num_steps": 10**7}
    )
    simulation = pybamm.Simulation(model, parameter_values=values, solver=solver)
    solution = simulation.solve(t, initial_soc=d.number("soc_start_frac"))
    negative, positive, lithium = (np.asarray(solution[name].entries) for name in _OUTPUTS)
    point = np.searchsorted(solution.t, np.linspace(0.0, solution.t[-1], POINTS_PER_YEAR * spec.years + 1))
    point = np.clip(point, 0, solution.t.size - 1)
    esoh = pybamm.lithium_ion.ElectrodeSOHSolver(values, pybamm.LithiumIonParameters())
    capacity = np.array(
        [float(esoh.solve({"Q_n": negative[k], "Q_p": positive[k], "Q_Li": lithium[k]})["Q"]) for k in point]
    )
    age = np.asarray(solution.t)[point] * speed / (DAYS_PER_YEAR * 24 * HOUR_S)
    return Archetype(spec, age, 1.0 - capacity / capacity[0])


def formula_archetype(spec: ArchetypeSpec) -> Archetype:
    """A quick stand-in without PyBaMM, for tests: square root of time plus a logistic knee; still no fitted law."""
    age = np.linspace(0.0, spec.years, POINTS_PER_YEAR * spec.years + 1)
    warm = {"cold": 0.8, "mild": 1.0, "hot": 1.35}[spec.climate] * (1.1 if "lfp" in spec.cell_id else 1.0)
    knee = 1.0 / (1.0 + np.exp(-(age - 12.0) / 2.5)) - 1.0 / (1.0 + np.exp(12.0 / 2.5))
    loss = warm * (0.03 * np.sqrt(age) + 0.03 * knee) + (0.0035 if spec.export else 0.0011) * age
    return Archetype(spec, age, loss)


@dataclass(frozen=True, eq=False)
class VehicleTruth:
    """How one vehicle really fades; capacity is that of the pack, i.e. of its weakest cell, over nominal when new.

    Parameters
    ----------
    rate
        Speed of all losses against the archetype's. [1]
    share
        Export against the exporting archetype's. [1]
    weakest
        Loss of the weakest cell over that of the mean cell. [1]
    capacity_scale
        Capacity of this pack when new over nominal. [1]
    """

    rate: float
    share: float
    weakest: float
    capacity_scale: float
    quiet: Archetype
    exporting: Archetype

    def soh(self, age_years: FloatArray | float, share: float | None = None) -> FloatArray:
        """Capacity over nominal capacity at an age; ``share`` = 0 is the same car had it never exported. [1]"""
        s = self.share if share is None else share
        quiet = self.quiet.loss(age_years)
        loss = self.rate * (quiet + s * (self.exporting.loss(age_years) - quiet))
        return self.capacity_scale * (1.0 - self.weakest * loss)

    def export_cost_frac(self, age_years: float) -> FloatArray:
        """Capacity that all export until an age has cost. [1]"""
        return self.soh(age_years, 0.0) - self.soh(age_years)

    def soh_without_further_export(self, age_years: FloatArray | float, since_years: float) -> FloatArray:
        """Capacity when export ends at an age: what it has cost stays, all else is as without export. [1]"""
        cost = self.export_cost_frac(since_years)
        return np.where(np.asarray(age_years) < since_years, self.soh(age_years), self.soh(age_years, 0.0) - cost)
