"""Reduced electrochemistry: growth of the anode's film (SEI) under two mechanisms, and wear by throughput.

A day's exposures are the growth it would bring at some film thicknesses ("nodes") and fullnesses of the anode
("windows": as lithium is lost the anode is used less deep, as its material is lost deeper), with equivalent full cycles
and the lithium that lost material takes along. Multipliers of kinetics and diffusion are exact on them: with
G(L) = <exp(-gL)/(a + bL)>, a draw's growth is m_K G(L m_K/m_D).

Sources: PyBaMM's submodels (see `models.laws.sei_kernel`); parameters and their standing in ``parameters/laws.toml``.

Limits
------
No plating, no self-heating beyond the duty's cell temperature, no overhang, no growth of resistance, wear independent
of temperature and depth. Calibrated to fleet medians, not to this vehicle (see ``laws.toml``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite
from pathlib import Path

import numpy as np

from models.domain import Duty, FloatArray, IntArray, Pack
from models.laws.base import Projection, RangeCheck
from models.laws.esoh import EsohTables, capacity_frac, windows_at
from models.laws.sei_daily import daily_growth
from models.laws.sei_grid import COARSE, FULLNESS, MIDDLE, NO_GRID, NODES, Between, Grid, ordered
from models.laws.sei_kernel import SeiConstants, run_segment
from models.laws.sei_project import STATES, balance_grid, project_draws
from models.laws.sei_steps import Steps
from models.laws.sei_vector import Singles, anode_points, blurred
from models.parameters import Entry, entry, load

LAW_IDS = ("sei_ec", "sei_interstitial")
VERSION = 11
_WHOLE_STEP = np.empty(0)
_Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, eq=False)
class SeiTables:
    """Constants and tables of one cell and member, read by `models.cell` from PyBaMM's ``ParameterValues``."""

    constants: SeiConstants
    esoh: EsohTables
    entropic_v_per_k: FloatArray
    exchange_a_m2: FloatArray

    @cached_property
    def anode_points(self) -> Singles:
        """What the kernel looks up of the anode, side by side (see `models.laws.sei_vector.anode_points`)."""
        return anode_points(blurred(self.esoh.anode_ocp_v), self.exchange_a_m2, self.entropic_v_per_k)

    @property
    def new_state(self) -> FloatArray:
        """State of a new cell, shape (3,): film, anode loss, trapped lithium."""
        return np.array([self.constants.film_start_frac, 0.0, 0.0])

    def aged_state(self, lithium_loss_frac: float) -> FloatArray:
        """State of a cell that lost lithium to its film alone, shape (3,)."""
        return np.array([self.constants.film_start_frac + lithium_loss_frac, 0.0, 0.0])

    def capacity_frac(self, state: FloatArray) -> float:
        """Capacity over capacity as new in a state, by eSOH. [1]"""
        film, wear, trapped = (float(v) for v in state[:3])
        lithium = film - self.constants.film_start_frac + trapped
        return float(capacity_frac(lithium, wear, self.constants.cathode_wear_ratio * wear, self.esoh))


@lru_cache(maxsize=32)
def tables(cell_id: str, law_id: str, home: Path | None = None, version: str = "") -> SeiTables:
    """Tables of a cell and member (imports PyBaMM; kept for the process by the law's version)."""
    from models.cell import sei_tables

    return sei_tables(cell_id, law_id, home)


class SeiLaw:
    """One member: a film mechanism with wear by throughput (implements `models.laws.base.Law`).

    Parameters
    ----------
    cell_id
        Entry of ``parameters/cells.toml``.
    law_id
        ``sei_ec`` or ``sei_interstitial``.
    home
        Where own parameters lie, if any.

    Raises
    ------
    ParameterError
        The cell has no parameters of this member.
    """

    def __init__(self, cell_id: str, law_id: str, home: Path | None = None) -> None:
        self.cell_id = cell_id
        self._law_id = law_id
        self.home = home
        self.nodes, self.fullness, self.coarse = NODES[law_id], FULLNESS[law_id], COARSE[law_id]
        self.middle = MIDDLE[law_id]
        self.cell: Entry = entry("cells", cell_id, home)
        self.parameters: Entry = entry("laws", parameters_id(law_id, self.cell.text("parameter_set")), home)
        grid = f"{self.nodes.tolist()} {self.fullness.tolist()} {self.coarse.tolist()} {self.middle}"
        body = f"{self.cell['parameter_set'].value} {self.parameters.sha256} {grid}"
        self._version = f"{VERSION}.{hashlib.sha256(body.encode()).hexdigest()[:12]}"

    @property
    def law_id(self) -> str:
        return self._law_id

    @property
    def label(self) -> str:
        return self.parameters.label

    @property
    def version(self) -> str:
        """Declared integer + hash of what the numbers depend on."""
        return self._version

    @property
    def chemistry(self) -> str:
        return self.cell.text("chemistry")

    @property
    def exposure_names(self) -> tuple[str, ...]:
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        fine = tuple(f"growth_w{w}" for w in range(self.fullness.size))
        growth = tuple(f"growth_w{w}_t{t}" for w in self.coarse for t in range(self.nodes.size))
        return (*fine, *growth, "full_cycles", *(f"trapped_w{w}" for w in self.coarse))

    @property
    def multiplier_names(self) -> tuple[str, ...]:
        return ("diffusion", "wear") if self._law_id == "sei_interstitial" else ("kinetic", "diffusion", "wear")

    @property
    def multiplier_sigma(self) -> tuple[float, ...]:
        """Prior standard deviation of each log-multiplier across cohorts (assumed, ``laws.toml``)."""
        return tuple(self.parameters.number(f"{name}_sigma") for name in self.multiplier_names)

    @property
    def source(self) -> str:
        return self.parameters["film_activation_j_per_mol"].source

    @property
    def day_by_day(self) -> bool:
        """Growth is computed from new at every node: no state runs on from day to day."""
        return True

    @property
    def tables(self) -> SeiTables:
        """Constants and tables, read on first use."""
        return tables(self.cell_id, self._law_id, self.home, self._version)

    def exposures(self, duty: Duty, pack: Pack) -> FloatArray:
        """Daily exposures, shape (days, k): film growth at every window and node, full cycles, trapped lithium."""
        return exposures_of((self,), (duty,), pack)[0][self._law_id]

    def project(
        self,
        exposures: FloatArray,
        level_capacity_frac: FloatArray,
        log_multipliers: FloatArray,
        state: FloatArray | None = None,
        order: IntArray | None = None,
    ) -> Projection:
        """Capacity of every draw along periods; see `models.laws.base.Law.project`.

        A state has the entries of `models.laws.sei_project.STATES`; the last one may be missing.

        Raises
        ------
        ValueError
            Shapes do not fit the law.
        """
        e = np.asarray(exposures, dtype=float)
        m = np.exp(np.atleast_2d(np.asarray(log_multipliers, dtype=float)))
        names = self.multiplier_names
        if e.ndim != 3 or e.shape[2] != len(self.exposure_names) or e.shape[0] != len(level_capacity_frac):
            raise ValueError(f"{self._law_id}: exposures need shape (levels, periods, {len(self.exposure_names)}).")
        if m.shape[1] != len(names):
            raise ValueError(f"{self._law_id}: log_multipliers need shape (draws, {len(names)}), got {m.shape}.")
        t = self.tables
        fine, rest = self._slowness(e)
        at = self.exposure_names.index("full_cycles")
        diffusion = m[:, names.index("diffusion")].copy()
        kinetic = m[:, names.index("kinetic")].copy() if "kinetic" in names else diffusion
        rows = np.arange(e.shape[1]) if order is None else np.asarray(order, dtype=np.int64)
        draws, periods = m.shape[0], rows.size
        now = np.full((draws, len(STATES)), np.nan)
        given = np.atleast_2d(np.asarray(t.new_state if state is None else state, dtype=float))
        now[:, : given.shape[1]] = given
        capacity, lithium, anode = (np.empty((draws, periods)) for _ in range(3))
        levels = _cached_windows(self.cell_id, self._law_id, self.home, self._version)[1]
        grid, slope = _cached_grid(self.cell_id, self._law_id, self.home, self._version)
        project_draws(
            rows,
            fine,
            rest,
            t.constants.interstitial,
            np.ascontiguousarray(e[:, :, at].T),
            np.ascontiguousarray(e[:, :, at + 1 :].transpose(1, 0, 2)),
            1.0 / np.asarray(level_capacity_frac, dtype=float),
            levels,
            levels[self.coarse],
            self.nodes,
            kinetic,
            diffusion,
            m[:, names.index("wear")] * t.constants.wear_per_cycle_frac,
            grid,
            slope,
            t.constants.capacity_ah,
            t.constants.film_start_frac,
            now,
            capacity,
            lithium,
            anode,
        )
        return Projection(capacity, now, {"lithium": lithium, "anode": anode})

    def _slowness(self, e: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1/G at the middle node, (periods, levels, w), and what makes of it 1/G at all nodes, (periods, t, levels, c).

        1/G at two nodes differs by a factor for interstitials (it is all but proportional to the thickness), by a
        summand where kinetics and diffusion are in series.
        """
        n_w, n_c, n_t = self.fullness.size, self.coarse.size, self.nodes.size
        slow = 1.0 / np.maximum(e[:, :, : n_w + n_c * n_t], 1e-30)
        nodes = slow[:, :, n_w:].reshape(*e.shape[:2], n_c, n_t).transpose(1, 3, 0, 2)
        middle = nodes[:, self.middle : self.middle + 1]
        rest = nodes / middle if self._law_id == "sei_interstitial" else nodes - middle
        return np.ascontiguousarray(slow[:, :, :n_w].transpose(1, 0, 2)), np.ascontiguousarray(rest)

    def range_check(self, duty: Duty, pack: Pack) -> RangeCheck:
        """Share of steps outside the range stated in ``laws.toml`` (``low`` and ``high`` of the ``valid_`` entries)."""
        c_rate = np.abs(duty.current_a.sum(axis=1)) / pack.capacity_ah
        values = {"temp_c": duty.temp_c, "c_rate": c_rate, "cell_soc_frac": duty.cell_soc_frac[1:]}
        outside = np.zeros(duty.steps, dtype=bool)
        shares: dict[str, float] = {}
        for name, value in values.items():
            p = self.parameters[f"valid_{name}"]
            low, high = float(p.value[0]), float(p.value[1])
            bad = (value < low) | (value > high)
            shares[name] = float(np.mean(bad)) if bad.size else 0.0
            outside |= bad
        return RangeCheck(float(np.mean(outside)) if outside.size else 0.0, shares)


@lru_cache(maxsize=32)
def _cached_windows(cell_id: str, law_id: str, home: Path | None, version: str) -> tuple[FloatArray, FloatArray]:
    return windows_at(tables(cell_id, law_id, home, version).esoh, FULLNESS[law_id])


@lru_cache(maxsize=32)
def _cached_grid(cell_id: str, law_id: str, home: Path | None, version: str) -> tuple[FloatArray, float]:
    t = tables(cell_id, law_id, home, version)
    e = t.esoh
    sizes = e.lithium_ah, e.anode_ah, e.cathode_ah, t.constants.cathode_wear_ratio, e.voltage_min_v, e.voltage_max_v
    return _grid_of(sizes, e.anode_ocp_v.tobytes(), e.cathode_ocp_v.tobytes())


@lru_cache(maxsize=16)
def _grid_of(sizes: _Six, anode_ocp: bytes, cathode_ocp: bytes) -> tuple[FloatArray, float]:
    """Grid by what it is made of (half a second of work): both members of a cell have the same."""
    return balance_grid(*sizes, np.frombuffer(anode_ocp).copy(), np.frombuffer(cathode_ocp).copy())


def parameters_id(law_id: str, parameter_set: str) -> str:
    """Entry of ``laws.toml`` for a member on a parameter set."""
    return f"{law_id}_{parameter_set.lower()}"


def members(cell_id: str, home: Path | None = None) -> tuple[SeiLaw, ...]:
    """SEI members of a cell's ensemble in fixed order; empty when ``laws.toml`` has none for its parameter set."""
    known = load("laws", home)
    parameter_set = entry("cells", cell_id, home).text("parameter_set")
    return tuple(SeiLaw(cell_id, law_id, home) for law_id in LAW_IDS if parameters_id(law_id, parameter_set) in known)


def exposures_of(laws: Sequence[SeiLaw], duties: Sequence[Duty], pack: Pack) -> list[dict[str, FloatArray]]:
    """Daily exposures of one member or of both members of a cell: both at once cost little more than one.

    Returns
    -------
    list of dict[str, FloatArray]
        Of each duty law_id -> shape (days, k); the same numbers whether a member is alone or not.

    Raises
    ------
    ValueError
        A state of charge or a temperature of a duty is missing: the kernel would read beside its tables.
    """
    windows, grids, between = _grids(tuple((law.cell_id, law.law_id, law.home, law.version) for law in laws))
    by_id = {law.law_id: law.tables for law in laws}
    ec, inter = (by_id.get(law_id, laws[0].tables) for law_id in LAW_IDS)
    wanted = grids.get(LAW_IDS[0], NO_GRID), ec.constants, grids.get(LAW_IDS[1], NO_GRID), inter.constants
    out: list[dict[str, FloatArray]] = []
    for duty in duties:
        soc, temp_c = duty.cell_soc_frac, duty.temp_c
        low, high = float(soc.min()), float(soc.max())
        if not isfinite(low + high + float(temp_c.sum())):
            raise ValueError("a duty needs a state of charge and a temperature at every step: fill the gaps before")
        if low < 0.0 or high > 1.0:
            soc = np.clip(soc, 0.0, 1.0)
        found = daily_growth(
            soc,
            temp_c,
            duty.current_a,
            _WHOLE_STEP if duty.flow_a is None else duty.flow_a,
            1.0 / pack.capacity_ah,
            duty.step_hours,
            24 * 60 // duty.step_minutes,
            windows,
            between,
            *wanted,
            inter.anode_points,
        )
        out.append({law_id: rows for law_id, rows in zip(LAW_IDS, found, strict=True) if law_id in by_id})
    return out


@lru_cache(maxsize=32)
def _grids(members: tuple[tuple[str, str, Path | None, str], ...]) -> tuple[FloatArray, dict[str, Grid], Between]:
    """All windows of some members of a cell, shape (w, 4), which of them each wants, and how growth goes between."""
    fullness, grids, between = ordered([m[1] for m in members])
    windows = np.empty((fullness.size, 4))
    for m in members:
        windows[grids[m[1]].fine] = _cached_windows(*m)[0]
    return windows, grids, between


def kernel_run(
    steps: Steps, charge: FloatArray, segments: IntArray, state: FloatArray, tables: SeiTables
) -> FloatArray:
    """Exact recursion along a duty, re-anchored to its SOC at the start of every segment.

    Parameters
    ----------
    steps
        From `models.laws.sei_steps.steps_of`.
    charge
        Charge-balanced current over capacity as new, shape (m,) (see `models.laws.sei_steps.balanced_current`). [1/h]
    segments
        First step of each segment and the number of steps, shape (s + 1,).
    state
        At the start, shape (3,).

    Returns
    -------
    ndarray
        State at the end of each segment, shape (s, 3).
    """
    out = np.empty((len(segments) - 1, 3))
    now = np.asarray(state, dtype=float)
    for s in range(len(segments) - 1):
        a, b = int(segments[s]), int(segments[s + 1])
        now = run_segment(
            steps.hours[a:b],
            charge[a:b],
            steps.temp_c[a:b],
            float(steps.soc_start[a]),
            now,
            tables.constants,
            tables.esoh.anode_ocp_v,
            tables.entropic_v_per_k,
            tables.exchange_a_m2,
            tables.esoh.cathode_ocp_v,
        )
        out[s] = now
    return out
