"""Policies of one vehicle as a reader sees them: names, paired differences, headings; for driver and fleet pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.domain import BASELINE_POLICY, Policy
from reports import text as t
from reports.rows import ForecastRow, PolicyRow, ValueRow, VehicleData, WarrantyRow

SCHEDULE = "yearly"
REFERENCE = "For comparison"
LESS = "Clearly less wear"
SAME = "No clear difference"
MORE = "Clearly more wear"
# A difference that shows as 0.0 is none to a reader.
GROUPS = (REFERENCE, LESS, SAME, MORE)


@dataclass(frozen=True)
class Option:
    """One setting of one vehicle with everything known about it; what is missing is None."""

    policy_id: str
    label: str
    setting: PolicyRow | None
    horizon: ForecastRow | None
    eight: ForecastRow | None
    warranty: WarrantyRow | None
    value: ValueRow | None
    recommended: bool
    capped: bool

    @property
    def group(self) -> str:
        """Under which heading it stands: an interval that includes zero is no clear difference."""
        if self.policy_id == BASELINE_POLICY or self.horizon is None:
            return REFERENCE
        return difference_heading(self.horizon.diff_p10_pp, self.horizon.diff_p90_pp)

    @property
    def wear(self) -> str:
        """Paired extra fade at the horizon, for a driver."""
        return "reference" if self.policy_id == BASELINE_POLICY else _points(self.horizon)

    @property
    def wear_range(self) -> str:
        """Its interval."""
        return "" if self.policy_id == BASELINE_POLICY else _range(self.horizon)

    @property
    def wear_eight(self) -> str:
        """The same after eight years."""
        return "reference" if self.policy_id == BASELINE_POLICY else _points(self.eight)

    @property
    def wear_eight_range(self) -> str:
        """Its interval."""
        return "" if self.policy_id == BASELINE_POLICY else _range(self.eight)

    @property
    def saved(self) -> str:
        """Bill saved a year against the baseline."""
        if self.policy_id == BASELINE_POLICY:
            return t.money(0.0, self.value.currency) if self.value else "reference"
        if self.value is None or not t.known(self.value.bill_saved_money_per_year):
            return t.UNKNOWN
        return t.money(self.value.bill_saved_money_per_year, self.value.currency)

    @property
    def cover(self) -> str:
        """Years of cover left."""
        return t.UNKNOWN if self.warranty is None else t.number(self.warranty.cover_end_years, 1)

    @property
    def breach(self) -> str:
        """Probability that a breach is found within cover."""
        return t.UNKNOWN if self.warranty is None else t.chance(self.warranty.breach_frac)

    @property
    def breach_range(self) -> str:
        """Its range over the models."""
        if self.warranty is None:
            return ""
        return t.chance_range(self.warranty.breach_low_frac, self.warranty.breach_high_frac)


def difference_heading(low_pp: float, high_pp: float) -> str:
    """Heading of a paired difference: none is clear when its interval includes zero or shows as 0.0 throughout.

    >>> difference_heading(-0.1, 1.2), difference_heading(0.2, 1.2), difference_heading(-1.0, -0.2)
    ('No clear difference', 'Clearly more wear', 'Clearly less wear')
    """
    low, high = round(low_pp, 1), round(high_pp, 1)  # what the page prints decides
    if low <= 0 <= high:
        return SAME
    return MORE if low > 0 else LESS


def _points(row: ForecastRow | None) -> str:
    return t.UNKNOWN if row is None else t.points(row.diff_p50_pp)


def _range(row: ForecastRow | None) -> str:
    return "" if row is None else t.points_range(row.diff_p10_pp, row.diff_p90_pp)


def label_of(policies: Mapping[str, Policy], policy_id: str) -> str:
    """A policy's label, its name in words where it has none."""
    policy = policies.get(policy_id)
    return ((policy.label if policy else "") or t.words(policy_id)).replace(" %", f"{t.NBSP}%")


def options_of(v: VehicleData) -> tuple[Option, ...]:
    """All settings of a vehicle in the policies' own order, the baseline first."""
    horizon = max((f.year for f in v.forecasts), default=0)
    eight, schedule = min(8, horizon), schedule_of(v)
    at = {(f.policy_id, f.year): f for f in v.forecasts}
    warranties = {
        w.policy_id: w for w in v.warranties if w.contract_id == v.vehicle.contract_id and w.test_schedule == schedule
    }
    last_value = max((x.year for x in v.values), default=0)
    values = {x.policy_id: x for x in v.values if x.year == last_value}
    settings = {s.policy_id: s for s in v.settings}
    named = list(dict.fromkeys([*v.policies, *settings, *(f.policy_id for f in v.forecasts)]))
    present = [p for p in named if (p, horizon) in at or p in settings]
    present.sort(key=lambda p: p != BASELINE_POLICY)
    out: list[Option] = []
    for policy_id in present:
        setting = settings.get(policy_id)
        policy = v.policies.get(policy_id)
        out.append(
            Option(
                policy_id=policy_id,
                label=label_of(v.policies, policy_id),
                setting=setting,
                horizon=at.get((policy_id, horizon)),
                eight=at.get((policy_id, eight)),
                warranty=warranties.get(policy_id),
                value=values.get(policy_id),
                recommended=setting is not None and setting.recommended,
                capped=bool(policy and policy.caps),
            )
        )
    return tuple(out)


def schedule_of(v: VehicleData) -> str:
    """The test schedule shown: yearly where it was computed, else the first there is."""
    names = sorted({w.test_schedule for w in v.warranties})
    return SCHEDULE if SCHEDULE in names or not names else names[0]


def horizon_years(v: VehicleData) -> int:
    """Years that the forecast reaches. [a]"""
    return max((f.year for f in v.forecasts), default=0)


def option(options: tuple[Option, ...], policy_id: str) -> Option | None:
    """One setting by name."""
    return next((o for o in options if o.policy_id == policy_id), None)


def recommended_option(options: tuple[Option, ...]) -> Option | None:
    """The recommended setting, if the night chose one."""
    return next((o for o in options if o.recommended), None)
