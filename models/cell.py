"""The only door to PyBaMM: parameter sets with provenance, tables for the kernel (`cell_reference` simulates).

PyBaMM is imported inside functions, so that nothing else pays for it. SI units live here and there only.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from models.domain import FloatArray
from models.laws.esoh import EDGE, EsohTables
from models.laws.sei import SeiTables, parameters_id
from models.laws.sei_heat import HeatConstants
from models.laws.sei_kernel import FARADAY, GAS, SeiConstants
from models.parameters import Entry, ParameterError, entry

TABLE_POINTS = 10_001
_OPTIONS = {"sei_ec": "ec reaction limited", "sei_interstitial": "interstitial-diffusion limited"}
# laws.toml -> PyBaMM's names
_NAMES = {
    "film_activation_j_per_mol": "SEI growth activation energy [J.mol-1]",
    "film_resistivity_ohm_m": "SEI resistivity [Ohm.m]",
    "film_potential_v": "SEI open-circuit potential [V]",
    "film_volume_m3_per_mol": "SEI partial molar volume [m3.mol-1]",
    "lithium_per_film_mol": "Ratio of lithium moles to SEI moles",
    "film_start_m": "Initial SEI thickness [m]",
    "solvent_mol_per_m3": "EC initial concentration in electrolyte [mol.m-3]",
    "kinetic_m_per_s": "SEI kinetic rate constant [m.s-1]",
    "film_diffusivity_m2_per_s": "EC diffusivity [m2.s-1]",
    "interstitial_diffusivity_m2_per_s": "SEI lithium interstitial diffusivity [m2.s-1]",
    "interstitial_mol_per_m3": "Lithium interstitial reference concentration [mol.m-3]",
}


def _pybamm() -> Any:
    os.environ.setdefault("PYBAMM_DISABLE_TELEMETRY", "true")
    import pybamm

    return pybamm


def pybamm_module() -> Any:
    """PyBaMM itself, imported when first asked for: for the archetypes of the simulated fleet."""
    return _pybamm()


def options(law_id: str) -> dict[str, Any]:
    """PyBaMM's model options of a member."""
    return {
        "SEI": (_OPTIONS[law_id], "none"),
        "loss of active material": ("current-driven", "current-driven"),
        "calculate discharge energy": "false",
    }


def _law_entry(cell_id: str, law_id: str, home: Path | None) -> Entry:
    return entry("laws", parameters_id(law_id, entry("cells", cell_id, home).text("parameter_set")), home)


def parameter_values(cell_id: str, law_id: str | None = None, home: Path | None = None) -> Any:
    """PyBaMM's ``ParameterValues`` of a cell, with a member's ageing parameters applied.

    Parameters
    ----------
    cell_id
        Entry of ``parameters/cells.toml``; names the parameter set and the voltage limits.
    law_id
        ``sei_ec`` or ``sei_interstitial``: everything of ``laws.toml`` replaces the set's own (uncalibrated) value, or
        is donated to a set that has none; None leaves the set without ageing.
    home
        Where own parameters lie, if any.

    Raises
    ------
    ParameterError
        No such cell, or no parameters of this member for its set.
    """
    pybamm = _pybamm()
    cell = entry("cells", cell_id, home)
    p = pybamm.ParameterValues(cell.text("parameter_set"))
    low, high = cell.number("voltage_min_v"), cell.number("voltage_max_v")
    p.update(
        {
            "Lower voltage cut-off [V]": low,
            "Upper voltage cut-off [V]": high,
            "Open-circuit voltage at 0% SOC [V]": low,
            "Open-circuit voltage at 100% SOC [V]": high,
        },
        check_already_exists=False,
    )
    if law_id is None:
        return p
    law = _law_entry(cell_id, law_id, home)
    p.update(
        {name: law.number(key) for key, name in _NAMES.items() if key in law.parameters}, check_already_exists=False
    )
    capacity_c = electrode_tables(cell_id, home).capacity_new_ah * 3600.0
    par = pybamm.LithiumIonParameters(options(law_id))
    area = float(p.evaluate(par.A_cc))

    def wear(domain: str, per_cycle: float) -> Any:
        material = float(p[f"{domain} electrode active material volume fraction"])
        factor = per_cycle * material * area / (2.0 * capacity_c)  # active material lost per C/m2 through the cell

        def rate(i: Any, T: Any) -> Any:
            return -factor * pybamm.sqrt(i**2 + 1e-8)

        return rate

    per_cycle = law.number("wear_per_cycle_frac")
    p.update(
        {
            "Negative electrode current-driven LAM rate": wear("Negative", per_cycle),
            "Positive electrode current-driven LAM rate": wear(
                "Positive", per_cycle * law.number("cathode_wear_ratio")
            ),
        },
        check_already_exists=False,
    )
    return p


def _grid() -> FloatArray:
    return np.linspace(EDGE, 1.0 - EDGE, TABLE_POINTS)


@lru_cache(maxsize=16)
def electrode_tables(cell_id: str, home: Path | None = None) -> EsohTables:
    """Electrode balance of a new cell, evaluated from its parameter set at the reference temperature.

    Raises
    ------
    ParameterError
        There is no such cell.
    """
    pybamm = _pybamm()
    p = parameter_values(cell_id, None, home)
    par = pybamm.LithiumIonParameters()
    x, temp = pybamm.Vector(_grid()), pybamm.Scalar(float(p["Reference temperature [K]"]))
    return EsohTables(
        anode_ocp_v=np.asarray(p.evaluate(par.n.prim.U(x, temp)), dtype=float).ravel(),
        cathode_ocp_v=np.asarray(p.evaluate(par.p.prim.U(x, temp)), dtype=float).ravel(),
        anode_ah=float(p.evaluate(par.n.Q_init)),
        cathode_ah=float(p.evaluate(par.p.Q_init)),
        lithium_ah=float(p.evaluate(par.Q_Li_particles_init)),
        voltage_min_v=float(p["Lower voltage cut-off [V]"]),
        voltage_max_v=float(p["Upper voltage cut-off [V]"]),
    )


def sei_tables(cell_id: str, law_id: str, home: Path | None = None) -> SeiTables:
    """Constants and tables of the kernel, all read from the ``ParameterValues`` that the reference simulation uses."""
    pybamm = _pybamm()
    p = parameter_values(cell_id, law_id, home)
    law = _law_entry(cell_id, law_id, home)
    par = pybamm.LithiumIonParameters(options(law_id))
    esoh = electrode_tables(cell_id, home)
    anode = par.n.prim
    reference = float(p["Reference temperature [K]"])
    c_max = float(p["Maximum concentration in negative electrode [mol.m-3]"])
    salt = pybamm.Scalar(float(p["Initial concentration in electrolyte [mol.m-3]"]))
    grid = _grid()

    def exchange(temp: float) -> FloatArray:
        value = p.evaluate(anode.j0(salt, pybamm.Vector(grid * c_max), pybamm.Scalar(temp)))
        return np.asarray(value, dtype=float).ravel()

    def ocp(temp: float) -> FloatArray:
        return np.asarray(p.evaluate(anode.U(pybamm.Vector(grid), pybamm.Scalar(temp))), dtype=float).ravel()

    def diffusivity(temp: float) -> float:
        return float(p.evaluate(anode.D(pybamm.Scalar(0.5 * c_max), pybamm.Scalar(temp))))

    def activation(cold: float, warm: float) -> float:
        return GAS * math.log(warm / cold) / (1.0 / reference - 1.0 / (reference + 10.0))

    def number(key: str, missing: float = 0.0) -> float:
        return law.number(key) if key in law.parameters else missing

    j_cold, j_warm = exchange(reference), exchange(reference + 10.0)
    radius = float(p["Negative particle radius [m]"])
    material = float(p["Negative electrode active material volume fraction"])
    # A_cc holds all electrodes connected in parallel already (Ai2020 has 34): it must not be multiplied again.
    surface = 3.0 * material / radius * float(p.evaluate(par.n.L)) * float(p.evaluate(par.A_cc))
    per_film = law.number("lithium_per_film_mol")
    unit = esoh.lithium_ah * 3600.0 / FARADAY * law.number("film_volume_m3_per_mol") / (per_film * surface)
    constants = SeiConstants(
        interstitial=law_id == "sei_interstitial",
        surface_m2=surface,
        radius_m=radius,
        c_max_mol_m3=c_max,
        reference_k=reference,
        diffusivity_m2_s=diffusivity(reference),
        diffusivity_activation_j=activation(diffusivity(reference), diffusivity(reference + 10.0)),
        exchange_activation_j=activation(j_cold[TABLE_POINTS // 2], j_warm[TABLE_POINTS // 2]),
        film_resistivity_ohm_m=law.number("film_resistivity_ohm_m"),
        film_potential_v=number("film_potential_v"),
        film_volume_m3_mol=law.number("film_volume_m3_per_mol"),
        lithium_per_film_mol=per_film,
        solvent_mol_m3=number("solvent_mol_per_m3"),
        kinetic_m_s=number("kinetic_m_per_s"),
        film_diffusivity_m2_s=number("film_diffusivity_m2_per_s"),
        interstitial_mol_m_s=number("interstitial_diffusivity_m2_per_s") * number("interstitial_mol_per_m3"),
        film_activation_j=law.number("film_activation_j_per_mol"),
        film_unit_m=unit,
        speed=3600.0 * law.number("film_volume_m3_per_mol") / per_film / unit**2,
        film_start_frac=law.number("film_start_m") / unit,
        anode_ah=esoh.anode_ah,
        cathode_ah=esoh.cathode_ah,
        lithium_ah=esoh.lithium_ah,
        capacity_ah=esoh.capacity_new_ah,
        voltage_min_v=esoh.voltage_min_v,
        voltage_max_v=esoh.voltage_max_v,
        wear_per_cycle_frac=law.number("wear_per_cycle_frac"),
        cathode_wear_ratio=law.number("cathode_wear_ratio"),
    )
    entropic = (ocp(reference + 10.0) - ocp(reference)) / 10.0
    if not np.any(entropic):
        entropic = np.zeros(1)
    return SeiTables(constants, esoh, entropic, j_cold)


@dataclass(frozen=True, eq=False)
class HeatTables:
    """Self-heating of one cell: see `models.laws.sei_heat`."""

    constants: HeatConstants
    resistance_ohm: FloatArray
    cathode_exchange_a_m2: FloatArray


def heat_tables(cell_id: str, home: Path | None = None) -> HeatTables:
    """Heat capacity, cooling and resistances of a cell, from its parameter set.

    The resistance is that of electrolyte (ohmic and diffusive) and solids for a reaction even over the electrodes.

    Raises
    ------
    ParameterError
        The cell's set (e.g. Prada2013) says nothing about heat.
    """
    pybamm = _pybamm()
    p = parameter_values(cell_id, None, home)
    if "Total heat transfer coefficient [W.m-2.K-1]" not in p:
        raise ParameterError(f"Cell '{cell_id}': its parameter set has no thermal parameters; use one that has.")
    par = pybamm.LithiumIonParameters({"thermal": "lumped"})
    reference = float(p["Reference temperature [K]"])
    salt = float(p["Initial concentration in electrolyte [mol.m-3]"])
    c_max = float(p["Maximum concentration in positive electrode [mol.m-3]"])
    radius = float(p["Positive particle radius [m]"])
    area = float(p.evaluate(par.A_cc))
    material = float(p["Positive electrode active material volume fraction"])
    surface = 3.0 * material / radius * float(p.evaluate(par.p.L)) * area
    kelvins = np.arange(243.15, 329.0, 5.0)

    def at(function: Any, *args: float) -> float:
        return float(np.asarray(p.evaluate(function(*(pybamm.Scalar(a) for a in args)))).ravel()[0])

    def ohm(kelvin: float) -> float:
        transfer = 1.0 - at(par.t_plus, salt, kelvin)
        per_mol = at(par.chi, salt, kelvin) * GAS * kelvin * transfer / (FARADAY**2 * salt)
        conductivity, diffusivity = at(par.kappa_e, salt, kelvin), at(par.D_e, salt, kelvin)
        total = 0.0
        parts = ((par.n, 3.0, "Negative electrode"), (par.s, 1.0, "Separator"), (par.p, 3.0, "Positive electrode"))
        for domain, part, name in parts:
            through = float(p[f"{name} porosity"]) ** float(p[f"{name} Bruggeman coefficient (electrolyte)"])
            length = float(p.evaluate(domain.L)) / part
            total += length / through * (1.0 / conductivity + per_mol / diffusivity)
            if part > 1.0:
                total += length / float(p[f"{name} conductivity [S.m-1]"])
        return total / area

    def exchange(kelvin: float) -> FloatArray:
        value = p.evaluate(par.p.prim.j0(pybamm.Scalar(salt), pybamm.Vector(_grid() * c_max), pybamm.Scalar(kelvin)))
        return np.asarray(value, dtype=float).ravel()

    def activation(cold: float, warm: float) -> float:
        return GAS * math.log(warm / cold) / (1.0 / reference - 1.0 / (reference + 10.0))

    cold, warm = exchange(reference), exchange(reference + 10.0)
    slow, fast = (at(par.p.prim.D, 0.5 * c_max, k) for k in (reference, reference + 10.0))
    constants = HeatConstants(
        heat_capacity_j_k=at(par.therm.rho_c_p_eff, reference) * float(p["Cell volume [m3]"]),
        cooling_w_k=float(p["Total heat transfer coefficient [W.m-2.K-1]"])
        * float(p["Cell cooling surface area [m2]"]),
        cathode_surface_m2=surface,
        cathode_exchange_activation_j=activation(cold[TABLE_POINTS // 2], warm[TABLE_POINTS // 2]),
        cathode_shift=radius / (5.0 * slow * FARADAY * c_max * surface),
        cathode_shift_activation_j=activation(slow, fast),
        first_k=float(kelvins[0]),
        step_k=5.0,
    )
    return HeatTables(constants, np.array([ohm(float(k)) for k in kelvins]), cold)
