"""Open-circuit voltage of one cell: a word of the vocabulary (`models.domain`) in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OcvCurve:
    """Open-circuit voltage of one cell against its state of charge.

    Parameters
    ----------
    cell_soc_frac
        Increasing, 0 to 1 between the cell's voltage limits, shape (n,). [1]
    ocv_v
        Non-decreasing, shape (n,). [V]
    source
        Where the curve comes from.
    """

    cell_soc_frac: FloatArray
    ocv_v: FloatArray
    source: str

    def voltage_v(self, cell_soc_frac: FloatArray | float) -> FloatArray:
        """Open-circuit voltage [V]; states of charge outside 0..1 are clipped."""
        return np.asarray(np.interp(cell_soc_frac, self.cell_soc_frac, self.ocv_v))

    def soc(self, ocv_v: FloatArray | float) -> FloatArray:
        """State of charge [1] at an open-circuit voltage; clipped to 0..1."""
        return np.asarray(np.interp(ocv_v, self.ocv_v, self.cell_soc_frac))

    def slope_v(self, cell_soc_frac: FloatArray | float) -> FloatArray:
        """dOCV/dSOC [V] by a central difference of 0.01: small means that a voltage tells little."""
        x = np.asarray(cell_soc_frac, dtype=float)
        hi, lo = np.minimum(x + 0.005, 1.0), np.maximum(x - 0.005, 0.0)
        return (self.voltage_v(hi) - self.voltage_v(lo)) / (hi - lo)
