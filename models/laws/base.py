"""What every law of ageing offers: exposures of a duty, a projection of exposures, a checked validity range."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from models.domain import Duty, FloatArray, IntArray, Pack


@dataclass(frozen=True, eq=False)
class Projection:
    """Capacity along a sequence of periods.

    Parameters
    ----------
    capacity_frac
        Capacity over capacity as new at the end of each period, shape (draws, periods). [1]
    state
        All that is needed to go on from the last period, shape (draws, s): resume = one-shot.
    components
        Named parts of the loss at the end of each period, shape (draws, periods) each, e.g. ``calendar``, ``cycling``,
        ``lithium``, ``anode``. They need not sum to the loss (lithium loss is not capacity).
    """

    capacity_frac: FloatArray
    state: FloatArray
    components: dict[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class RangeCheck:
    """Share of the exposure that lies outside a law's stated validity range, in all and by variable. [1]"""

    outside_frac: float
    by_variable: dict[str, float]


class Law(Protocol):
    """A law of capacity fade for one cell.

    The exposures are additive over days: those of a month are the sum of its days. What belongs to the vehicle enters
    only as log-multipliers, so that a posterior costs a short recursion over periods, not a simulation.
    """

    @property
    def law_id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def version(self) -> str:
        """Declared integer + parameter hash: a change marks stored exposures dirty."""
        ...

    @property
    def chemistry(self) -> str: ...
    @property
    def exposure_names(self) -> tuple[str, ...]: ...
    @property
    def multiplier_names(self) -> tuple[str, ...]: ...
    @property
    def multiplier_sigma(self) -> tuple[float, ...]:
        """Prior standard deviation of each log-multiplier across cohorts."""
        ...

    @property
    def source(self) -> str: ...
    @property
    def day_by_day(self) -> bool:
        """Whether a day's exposures follow, to the last bit, from the duty of that day and one step on either side.

        They may then not depend on the duty's ``capacity_ah`` either (`models.exposure_days`).
        """
        ...

    def exposures(self, duty: Duty, pack: Pack) -> FloatArray:
        """Daily exposures, shape (days, k); the last, incomplete day counts as a day."""
        ...

    def project(
        self,
        exposures: FloatArray,
        level_capacity_frac: FloatArray,
        log_multipliers: FloatArray,
        state: FloatArray | None = None,
        order: IntArray | None = None,
    ) -> Projection:
        """Project capacity along periods.

        Parameters
        ----------
        exposures
            Shape (levels, periods, k): exposures of the same life at several present capacities (fade feeds back on
            duty); one level where the duty was measured.
        level_capacity_frac
            Decreasing capacities of the levels, shape (levels,); exposures are linear in one over them in between. [1]
        log_multipliers
            Shape (draws, len(multiplier_names)).
        state
            From an earlier `Projection`, shape (draws, s), or None for a new battery.
        order
            Row of ``exposures`` that each period takes, shape (periods,): a year repeated costs one year's
            preparation. Without it every row is one period, in their order.
        """
        ...

    def range_check(self, duty: Duty, pack: Pack) -> RangeCheck:
        """How much of a duty lies outside the range the law was found in."""
        ...
