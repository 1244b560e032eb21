"""Electricity bill of house and car under a dispatched year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.dispatch import YEAR_SCALE, Dispatched
from models.domain import RepresentativeYear


@dataclass(frozen=True)
class Bill:
    """A year's bill, scaled from 52 weeks to 365.25 days.

    Parameters
    ----------
    import_kwh, feed_in_kwh
        Bought from and sold to the grid at the meter of the house. [kWh/a]
    import_money, feed_in_money
        Paid and received, standing charges left out. [currency/a]
    currency
        Of the money.
    """

    import_kwh: float
    feed_in_kwh: float
    import_money: float
    feed_in_money: float
    currency: str

    @property
    def net_money(self) -> float:
        """Paid less received. [currency/a]"""
        return self.import_money - self.feed_in_money


def yearly_bill(dispatched: Dispatched, year: RepresentativeYear) -> Bill:
    """Bill of house, sun and car: what is left after each step's own netting is bought or sold.

    In an outage nothing is bought or sold. Standing charges, charging elsewhere and driving that the battery could not
    give are not in the bill.

    Raises
    ------
    ValueError
        The dispatch is of another year.
    """
    if dispatched.meter_in_kwh.shape != (year.steps,) or dispatched.step_minutes != year.step_minutes:
        raise ValueError(
            f"The dispatch has {dispatched.meter_in_kwh.size} steps of {dispatched.step_minutes} min, "
            f"the year {year.steps} of {year.step_minutes} min."
        )
    hours = year.step_minutes / 60
    net = (year.load_kw - year.pv_kw) * hours + dispatched.meter_in_kwh - dispatched.meter_out_kwh
    net[year.outage] = 0.0
    bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    return Bill(
        import_kwh=float(bought.sum()) * YEAR_SCALE,
        feed_in_kwh=float(sold.sum()) * YEAR_SCALE,
        import_money=float((bought * year.import_money_per_kwh).sum()) * YEAR_SCALE,
        feed_in_money=float(sold.sum()) * year.feed_in_money_per_kwh * YEAR_SCALE,
        currency=year.currency,
    )


def bill_money_per_year(dispatched: Dispatched, year: RepresentativeYear) -> float:
    """What house and car pay for electricity in a year, feed-in taken off. [currency/a]"""
    return yearly_bill(dispatched, year).net_money
