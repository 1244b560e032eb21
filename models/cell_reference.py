"""The reference: PyBaMM along a duty, from any state of ageing, re-anchored to the duty's state of charge.

A model is built once for a duty and solved from anchor to anchor: what differs between two solves (state of ageing,
state of charge, where in the duty, how large the cell still is) enters as PyBaMM's input parameters. One IDAKLU solve
a segment with every breakpoint of the current in ``t_eval``, no events, tight tolerances (else charge drifts by
per cents). The sign of PyBaMM's current (positive when discharging) is turned here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.cell import options, parameter_values, pybamm_module
from models.domain import FloatArray, IntArray
from models.laws.esoh import window
from models.laws.sei import SeiTables
from models.laws.sei_kernel import FARADAY, KELVIN
from models.laws.sei_steps import Steps
from models.parameters import entry

RTOL, ATOL = 1e-6, 1e-9
RAMP_SECONDS = 10.0
FILM = "X-averaged negative SEI thickness [m]"
MATERIAL = "X-averaged negative electrode active material volume fraction"
LITHIUM = "Total lithium in particles [mol]"
TEMPERATURE = "Volume-averaged cell temperature [K]"
PLATED = "Loss of lithium to negative lithium plating [mol]"
ANODE_AT_SEPARATOR = "Negative electrode surface potential difference at separator interface [V]"
_ANODE_EPS = "Negative electrode active material volume fraction"
_CATHODE_EPS = "Positive electrode active material volume fraction"
_ANODE_C = "Initial concentration in negative electrode [mol.m-3]"
_CATHODE_C = "Initial concentration in positive electrode [mol.m-3]"
_FILM_START = "Initial SEI thickness [m]"
_TEMP_START = "Initial temperature [K]"


class ReferenceUnsolved(RuntimeError):
    """PyBaMM's solver gave up on a duty; the message says which."""


@dataclass(frozen=True)
class Kind:
    """Which PyBaMM model is solved.

    Parameters
    ----------
    model
        ``SPM``, ``SPMe`` or ``DFN``.
    lumped_heat
        Whether the cell warms itself (``steps.temp_c`` is then the air's temperature), else isothermal.
    plating
        PyBaMM's option, ``none`` unless plating is compared (constants: ``parameters/plating.toml``).
    plating_m_per_s
        Kinetic rate constant of plating in place of the stated one. [m/s]
    compiled
        Compile the equations (needs a C compiler): four times faster once a model is solved often.
    """

    model: str = "SPM"
    lumped_heat: bool = False
    plating: str = "none"
    plating_m_per_s: float | None = None
    compiled: bool = False


@dataclass(frozen=True, eq=False)
class Solved:
    """One segment: state at its end, time [h] and asked-for variables at the breakpoints."""

    state: FloatArray
    hours: FloatArray
    values: dict[str, FloatArray] = field(default_factory=dict)


def _profile(hours: FloatArray, current_a: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Breakpoints [s] and currents [A] of piecewise constant steps joined by short ramps."""
    ends = np.cumsum(hours) * 3600.0
    change = np.flatnonzero(np.diff(current_a) != 0.0)
    t = np.empty(2 * change.size + 2)
    i = np.empty(2 * change.size + 2)
    t[0], i[0] = 0.0, current_a[0]
    t[1:-1:2], i[1:-1:2] = ends[change], current_a[change]
    t[2:-1:2], i[2:-1:2] = ends[change] + RAMP_SECONDS, current_a[change + 1]
    t[-1], i[-1] = ends[-1], current_a[-1]
    return t, i


class Reference:
    """PyBaMM's model of a cell and member on one duty, built once.

    Parameters
    ----------
    cell_id, law_id
        Cell of ``cells.toml`` and ``sei_ec`` or ``sei_interstitial``.
    steps
        Steps of constant current (see `models.laws.sei_steps`).
    c_rate
        Current of each step over capacity as new, positive charging, shape (m,). [1/h]
    tables
        Kernel's tables of the same cell and member.
    kind
        Model, heat, plating.
    outputs
        Names of further PyBaMM variables to return at the breakpoints.
    home
        Where own parameters lie, if any.

    Limits
    ------
    Ambient (or, isothermal, cell) temperature is linear between the middles of steps.
    """

    def __init__(
        self,
        cell_id: str,
        law_id: str,
        steps: Steps,
        c_rate: FloatArray,
        tables: SeiTables,
        kind: Kind | None = None,
        outputs: tuple[str, ...] = (),
        home: Path | None = None,
    ) -> None:
        pybamm = pybamm_module()
        kind = kind or Kind()
        self._name = f"{cell_id} with {law_id}"
        self._tables, self._steps = tables, steps
        self._ends = np.concatenate([[0.0], np.cumsum(steps.hours) * 3600.0])
        self._outputs = outputs
        p = parameter_values(cell_id, law_id, home)
        self._fresh = {name: float(p[name]) for name in (_ANODE_EPS, _CATHODE_EPS)}
        self._cathode_max = float(p["Maximum concentration in positive electrode [mol.m-3]"])
        self._breaks, current = _profile(steps.hours, -c_rate * tables.constants.capacity_ah)
        warm = np.concatenate([[steps.temp_c[0]], steps.temp_c, [steps.temp_c[-1]]]) + KELVIN
        at = np.concatenate([[0.0], self._ends[1:] - 1800.0 * steps.hours, [self._ends[-1]]])
        if kind.plating != "none":
            p.update(_plating(kind.plating_m_per_s, home), check_already_exists=False)
        names = (_ANODE_EPS, _CATHODE_EPS, _ANODE_C, _CATHODE_C, _FILM_START, _TEMP_START)
        p.update(dict.fromkeys(names, "[input]"))
        begin, scale = pybamm.InputParameter("begin"), pybamm.InputParameter("scale")
        p["Current function [A]"] = scale * pybamm.Interpolant(
            self._breaks, current, pybamm.t + begin, interpolator="linear"
        )
        p["Ambient temperature [K]"] = lambda y, z, t: pybamm.Interpolant(at, warm, t + begin)
        model = getattr(pybamm.lithium_ion, kind.model)(
            {
                **options(law_id),
                "thermal": "lumped" if kind.lumped_heat else "isothermal",
                "lithium plating": kind.plating,
            }
        )
        model.events = []
        solver = pybamm.IDAKLUSolver(
            rtol=RTOL,
            atol=ATOL,
            output_variables=[FILM, MATERIAL, LITHIUM, *outputs],
            # DFN fails on ramps at tight tolerance unless algebraic states are left out of the error test
            options={"max_num_steps": 10**7, "compile": kind.compiled, "suppress_algebraic_error": True},
        )
        self._simulation = pybamm.Simulation(model, parameter_values=p, solver=solver)

    def solve(self, first: int, last: int, state: FloatArray, scale: float = 1.0) -> Solved:
        """Solve from an anchor: steps `first` to `last` (excluded) from a state, all currents times `scale`.

        Parameters
        ----------
        state
            Film, anode loss, trapped lithium as in `models.laws.sei.SeiTables`, shape (3,).

        Returns
        -------
        Solved
            Trapped lithium is what left the particles less what the film holds.

        Raises
        ------
        ReferenceUnsolved
            The solver gave up.
        """
        k, t = self._tables.constants, self._tables
        film, wear, trapped = (float(v) for v in state)
        w = window(t.esoh, film - k.film_start_frac + trapped, wear, k.cathode_wear_ratio * wear)
        soc = float(self._steps.soc_start[first])
        begin, end = float(self._ends[first]), float(self._ends[last])
        inside = self._breaks[(self._breaks > begin) & (self._breaks < end)] - begin
        inputs: dict[str, float] = {
            "begin": begin,
            "scale": scale,
            _ANODE_EPS: self._fresh[_ANODE_EPS] * (1.0 - wear),
            _CATHODE_EPS: self._fresh[_CATHODE_EPS] * (1.0 - k.cathode_wear_ratio * wear),
            _FILM_START: film / (1.0 - wear) * k.film_unit_m,
            _ANODE_C: (w.anode_0 + soc * (w.anode_100 - w.anode_0)) * k.c_max_mol_m3,
            _CATHODE_C: (w.cathode_0 + soc * (w.cathode_100 - w.cathode_0)) * self._cathode_max,
            _TEMP_START: float(self._steps.temp_c[first]) + KELVIN,
        }
        try:
            solution = self._simulation.solve(np.concatenate([[0.0], inside, [end - begin]]), inputs=inputs)
        except pybamm_module().SolverError as e:
            raise ReferenceUnsolved(
                f"PyBaMM could not solve {self._name} over {(end - begin) / 86400:.0f} days from SOC {soc:.2f}: {e}"
            ) from e
        thick, material, lithium_mol = (_last(solution, name) for name in (FILM, MATERIAL, LITHIUM))
        wear_end = 1.0 - material / self._fresh[_ANODE_EPS]
        film_end = thick * (1.0 - wear_end) / k.film_unit_m
        gone = 1.0 - lithium_mol * FARADAY / 3600.0 / k.lithium_ah
        return Solved(
            np.array([film_end, wear_end, gone - (film_end - k.film_start_frac)]),
            np.asarray(solution.t, dtype=float) / 3600.0,
            {name: np.asarray(solution[name].entries, dtype=float) for name in self._outputs},
        )


def _plating(kinetic_m_per_s: float | None, home: Path | None) -> dict[str, Any]:
    """PyBaMM's parameters of plating; a set that has none gets them all."""
    law = entry("plating", "plating", home)
    speed = law.number("kinetic_m_per_s") if kinetic_m_per_s is None else kinetic_m_per_s

    def exchange(c_e: Any, c_li: Any, temp_k: Any) -> Any:
        return FARADAY * speed * c_e

    return {
        "Exchange-current density for plating [A.m-2]": exchange,
        "Exchange-current density for stripping [A.m-2]": exchange,
        "Lithium plating transfer coefficient": law.number("transfer_coefficient"),
        "Typical plated lithium concentration [mol.m-3]": 1000.0,
        "Initial plated lithium concentration [mol.m-3]": 0.0,
        "Lithium metal partial molar volume [m3.mol-1]": 1.3e-05,
    }


def _last(solution: Any, name: str) -> float:
    return float(solution[name].entries[..., -1].ravel()[0])


def reference_run(
    cell_id: str,
    law_id: str,
    steps: Steps,
    charge: FloatArray,
    segments: IntArray,
    state: FloatArray,
    tables: SeiTables,
    home: Path | None = None,
) -> FloatArray:
    """PyBaMM's SPM along a duty, re-anchored to its SOC at the start of every segment; as `models.laws.sei.kernel_run`.

    Raises
    ------
    ReferenceUnsolved
        The solver gave up.
    """
    reference = Reference(cell_id, law_id, steps, charge, tables, home=home)
    out = np.empty((len(segments) - 1, 3))
    now = np.asarray(state, dtype=float)
    for s in range(len(segments) - 1):
        now = reference.solve(int(segments[s]), int(segments[s + 1]), now).state
        out[s] = now
    return out
