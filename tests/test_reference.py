"""The reference question of export: every member and the ensemble must say something believable."""

from __future__ import annotations

import numpy as np
import pytest

from models.exposure import LEVELS
from models.forecast import difference_quantiles
from models.laws.power import PowerLaw
from models.laws.registry import laws_for
from models.parameters import load
from models.reference import EXPORT, reference_duty, reference_exposures, reference_fan, reference_pack


@pytest.mark.parametrize("cell_id", sorted(load("cells")))
def test_each_tested_law_alone_is_believable(cell_id: str) -> None:
    """At its centre no member of a car's ensemble may say less than -1 or more than +9 pp in ten years."""
    laws = [law for law in laws_for(cell_id) if isinstance(law, PowerLaw)]
    pack = reference_pack(cell_id)
    with_export, without = (reference_exposures(pack, laws, export) for export in (True, False))
    levels = np.array(LEVELS)
    for law in laws:
        ten = [np.tile(e[law.law_id], (1, 10, 1)) for e in (with_export, without)]
        after = [law.project(e, levels, np.zeros((1, 2))).capacity_frac[0, -1] for e in ten]
        assert -1.0 < 100 * (after[1] - after[0]) < 9.0
        assert 0.5 < after[1] < 0.99


def test_the_profile_is_the_published_one() -> None:
    pack = reference_pack("nmc811_lgm50")
    for export, cycles in ((False, 44.0), (True, 105.0)):
        soc = reference_duty(pack, export).cell_soc_frac
        assert np.abs(np.diff(soc)).sum() / 2 == pytest.approx(cycles, abs=1.0)


def test_the_tested_laws_together_lie_inside_the_gate() -> None:
    """A short form of benchmarks/bench_reference.py, without the members that need PyBaMM."""
    laws = [law for law in laws_for("nmc811_lgm50") if isinstance(law, PowerLaw)]
    fan, _ = reference_fan("nmc811_lgm50", laws, 400, 1)
    low, median, high = difference_quantiles(fan, EXPORT, [120])[0]
    assert -1.0 < median < 6.0
    assert low < median < high
    # As wide as the span of the 18 published models (-0.3 to +8.7), a little more with the structural error of a cycle.
    assert high - low < 11.0
