"""Capacity from losses: invariants, and the same balance as PyBaMM's solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cell import electrode_tables, parameter_values, pybamm_module
from models.laws.esoh import EsohTables, capacity_frac, lithium_loss_for, ocv_curve, ocv_table, window
from models.parameters import ParameterError, load

CELLS = ("nmc811_lgm50", "lfp_prada2013", "leaf_40kwh", "nmc811_chen2020", "nmc532_mohtat2020", "lco_ai2020")
# PyBaMM's own solver leaves Ai2020's measured cathode curve (it warns, and finds more capacity than the new cell had).
SOLVED = tuple(cell for cell in CELLS if cell != "lco_ai2020")


@pytest.fixture(scope="module")
def tables() -> EsohTables:
    return electrode_tables("nmc811_lgm50")


def test_golden_capacity_of_okane2022(tables: EsohTables) -> None:
    """PyBaMM 26.10.1.1, ElectrodeSOHSolver on OKane2022 between 2.5 and 4.2 V."""
    w = window(tables, 0.0)
    assert w.capacity_ah == pytest.approx(5.1099478, abs=2e-6)
    assert w.anode_100 == pytest.approx(0.9070688, abs=1e-6)
    assert w.cathode_100 == pytest.approx(0.2662138, abs=1e-6)


def test_lithium_loss_is_not_capacity(tables: EsohTables) -> None:
    """10 % of lithium costs 14.2 % of this cell's capacity, 10 % of the anode 0.5 %, 20 % already 11.6 %."""
    assert 1 - capacity_frac(0.1, 0.0, 0.0, tables) == pytest.approx(0.142, abs=0.001)
    assert 1 - capacity_frac(0.0, 0.1, 0.0, tables) == pytest.approx(0.005, abs=0.002)
    assert 1 - capacity_frac(0.0, 0.2, 0.0, tables) == pytest.approx(0.116, abs=0.003)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.5), st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0.001, 0.1))
def test_more_lithium_lost_never_gains_capacity(q: float, a: float, c: float, more: float) -> None:
    """Holds while neither electrode is too small for the lithium (then losing some can even help)."""
    tables = electrode_tables("nmc811_lgm50")
    low, high = capacity_frac(np.array([q + more, q]), a, c, tables)
    assert 0 <= low <= high + 1e-9


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 1.0))
def test_lithium_loss_for_inverts_capacity(target: float) -> None:
    tables = electrode_tables("nmc811_lgm50")
    assert float(capacity_frac(lithium_loss_for(tables, target), 0.0, 0.0, tables)) == pytest.approx(target, abs=1e-6)


def test_no_lithium_no_capacity(tables: EsohTables) -> None:
    assert capacity_frac(1.0, 0.0, 0.0, tables) == 0.0


@pytest.mark.parametrize("cell_id", CELLS)
def test_ocv_tables_agree_with_pybamm(cell_id: str) -> None:
    """Every curve in cells.toml is the one its parameter set gives."""
    soc, ocv = ocv_table(electrode_tables(cell_id), 101)
    curve = ocv_curve(cell_id)
    np.testing.assert_allclose(curve.cell_soc_frac, soc, atol=1e-12)
    np.testing.assert_allclose(curve.ocv_v, ocv, atol=2e-5)
    assert np.all(np.diff(curve.ocv_v) >= 0)


def test_every_cell_states_what_packs_need() -> None:
    for cell in load("cells").values():
        for name in (
            "chemistry",
            "nominal_ah",
            "parameter_set",
            "ocv_soc",
            "ocv_v",
            "ocv_known",
            "ocv_sigma_v",
            "laws",
        ):
            assert name in cell.parameters, (cell.entry_id, name)
        if not cell["ocv_known"].value:
            assert cell["parameter_set"].standing == "assumed"


def test_unknown_cell_is_named() -> None:
    with pytest.raises(ParameterError, match="no_such_cell"):
        ocv_curve("no_such_cell")


@pytest.mark.slow
@pytest.mark.parametrize("cell_id", SOLVED)
def test_capacity_agrees_with_pybamms_solver(cell_id: str) -> None:
    pybamm = pybamm_module()
    tables = electrode_tables(cell_id)
    solver = pybamm.lithium_ion.ElectrodeSOHSolver(parameter_values(cell_id))
    new = tables.capacity_new_ah
    for q, a, c in ((0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.05, 0.1, 0.05), (0.2, 0.05, 0.03), (0.3, 0.02, 0.1)):
        theirs = solver.solve(
            {"Q_n": tables.anode_ah * (1 - a), "Q_p": tables.cathode_ah * (1 - c), "Q_Li": tables.lithium_ah * (1 - q)}
        )
        assert float(capacity_frac(q, a, c, tables)) == pytest.approx(float(theirs["Q"]) / new, abs=2e-5)
