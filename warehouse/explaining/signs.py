"""Signs and units told from the values: current against SOC and voltage, power against current and counters."""

from __future__ import annotations

import polars as pl

from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE, Guess
from warehouse.explaining.words import plain_name

POSITIVE, NEGATIVE = "charging_positive", "charging_negative"
_MIN_STEPS = 3


def share_of(mask: pl.Series) -> float:
    """Share of true values, empty ones left out; 0 without any."""
    known = mask.drop_nulls()
    return int(known.sum()) / known.len() if known.len() else 0.0


def scale_by_range(quantity: str, numbers: pl.Series) -> tuple[float, float, str, str] | None:
    """Scale, offset, confidence and reason of a column without a unit, by its values; `None` when they tell nothing."""
    filled = numbers.drop_nulls()
    if filled.len() == 0:
        return None
    low, high = float(filled.min()), float(filled.max())  # type: ignore[arg-type]
    size = max(abs(low), abs(high))
    span = f"values from {low:g} to {high:g}"
    if quantity == "frac":
        for limit, scale, said in (
            (1.1, 1.0, "fractions"),
            (110, 1e-2, "percent"),
            (1100, 1e-3, "tenths of a percent"),
            (11_000, 1e-4, "hundredths of a percent"),
            (1_100_000, 1e-6, "percent times 10,000"),
        ):
            if size <= limit:
                sure = UNSURE if size <= 1.1 and high in (0.0, 1.0) else LIKELY
                return scale, 0.0, sure, f"{span} are {said}"
        return None
    steps: dict[str, tuple[tuple[float, float, str], ...]] = {
        "V": ((1500, 1.0, "V"), (150_000, 1e-2, "cV"), (1_500_000, 1e-3, "mV")),
        "A": ((1000, 1.0, "A"), (2_000_000, 1e-3, "mA")),
        "kW": ((360, 1.0, "kW"), (500_000, 1e-3, "W")),
        "kWh": ((300, 1.0, "kWh"), (1e9, 1e-3, "Wh")),
        "km": ((2_000_000, 1.0, "km"),),
        "s": ((1e9, 1.0, "s"),),
    }
    if quantity == "degC":
        if low > 200:
            return 1.0, -273.15, LIKELY, f"{span} are kelvin"
        return 1.0, 0.0, (LIKELY if high < 60 else UNSURE), f"{span} are degrees Celsius"
    for limit, scale, said in steps.get(quantity, ()):
        if size <= limit:
            return scale, 0.0, (LIKELY if quantity in ("V", "A", "km", "s") else UNSURE), f"{span} are taken as {said}"
    return None


def sign_of_current(current: pl.Series, soc: pl.Series | None, voltage: pl.Series | None) -> Guess:
    """Sign of a current: by the charge between changes of SOC, else by how the voltage answers to it."""
    if soc is not None:
        found = _against_soc(current, soc)
        if found is not None:
            return Guess("sign of current", *found)
    if voltage is not None:
        found = _against_voltage(current, voltage)
        if found is not None:
            return Guess("sign of current", *found)
    return Guess("sign of current", "", UNKNOWN, "neither SOC nor voltage changes enough with it; ask who logged it")


def _against_soc(flow: pl.Series, soc: pl.Series) -> tuple[str, str, str] | None:
    frame = pl.DataFrame({"f": flow, "s": soc}).drop_nulls()
    if frame.height < 10:
        return None
    step = frame["s"].diff()
    changed = step.fill_null(0.0) != 0
    group = changed.cast(pl.Int64).cum_sum()
    sums = (
        frame.with_columns(group.alias("g"), step.alias("d"))
        .group_by("g", maintain_order=True)
        .agg(pl.col("f").sum(), pl.col("d").first())
    )
    # What flowed before a step made it: the sum of one group stands against the step that begins the next.
    pairs = pl.DataFrame({"f": sums["f"].shift(1), "d": sums["d"]}).drop_nulls().filter(pl.col("f") != 0)
    if pairs.height < _MIN_STEPS:
        return None
    same = int(((pairs["f"] > 0) == (pairs["d"] > 0)).sum())
    agree = float((pairs["f"].abs() * ((pairs["f"] > 0) == (pairs["d"] > 0))).sum()) / float(pairs["f"].abs().sum())
    if 0.25 < agree < 0.75:
        return None
    sign = POSITIVE if agree >= 0.5 else NEGATIVE
    n = same if sign == POSITIVE else pairs.height - same
    share = max(agree, 1 - agree)
    sure = CERTAIN if share > 0.95 and pairs.height >= 10 else LIKELY
    way = "rises" if sign == POSITIVE else "falls"
    return (
        sign,
        sure,
        f"SOC {way} after positive values: {n} of {pairs.height} changes of SOC, {share:.0%} of what flowed",
    )


def _against_voltage(current: pl.Series, voltage: pl.Series) -> tuple[str, str, str] | None:
    steps = pl.DataFrame({"i": current.diff(), "v": voltage.diff()}).drop_nulls().filter(pl.col("i").abs() > 0)
    if steps.height < 10:
        return _against_drift(current, voltage)
    r = steps.select(pl.corr("i", "v")).item()
    if r is None or not abs(r) > 0.3:
        return _against_drift(current, voltage)
    sign = POSITIVE if r > 0 else NEGATIVE
    way = "rises" if r > 0 else "falls"
    sure = CERTAIN if abs(r) > 0.8 and steps.height > 100 else LIKELY
    return (
        sign,
        sure,
        f"the voltage {way} when the current does (correlation of their steps {r:.2f}): a charging current lifts it",
    )


def _against_drift(current: pl.Series, voltage: pl.Series) -> tuple[str, str, str] | None:
    """Sign by the way the voltage goes while a current flows on unchanged."""
    steps = pl.DataFrame({"i": current, "c": current.diff(), "v": voltage.diff()}).drop_nulls()
    steps = steps.filter((pl.col("c") == 0) & (pl.col("i") != 0) & (pl.col("v") != 0))
    if steps.height < 10:
        return None
    way = float(steps["v"].abs().sum())
    agree = float((steps["v"].abs() * ((steps["v"] > 0) == (steps["i"] > 0))).sum()) / way
    if 0.25 < agree < 0.75:
        return None
    sign = POSITIVE if agree >= 0.5 else NEGATIVE
    share = max(agree, 1 - agree)
    goes = "rises" if sign == POSITIVE else "falls"
    return sign, LIKELY, f"the voltage {goes} while a steady positive current flows ({share:.0%} of its way)"


def sign_of_power(
    name: str, power: pl.Series, soc: pl.Series | None, current: pl.Series | None, sign_current: str | None
) -> Guess:
    """Sign of a power: by the current whose sign is known, by SOC, else by its name when it is never negative."""
    what = "sign of power"
    if current is not None and sign_current:
        both = pl.DataFrame({"p": power, "i": current}).drop_nulls().filter((pl.col("p") != 0) & (pl.col("i") != 0))
        if both.height >= 10:
            same = share_of((both["p"] > 0) == (both["i"] > 0))
            if same > 0.9 or same < 0.1:
                sign = sign_current if same > 0.9 else (NEGATIVE if sign_current == POSITIVE else POSITIVE)
                said = "the same" if same > 0.9 else "the opposite"
                return Guess(
                    what, sign, LIKELY, f"it has {said} sign as the current in {max(same, 1 - same):.0%} of the rows"
                )
    if soc is not None:
        found = _against_soc(power, soc)
        if found is not None:
            return Guess(what, *found)
    filled = power.drop_nulls()
    if filled.len() and float(filled.min()) >= 0:  # type: ignore[arg-type]
        words = plain_name(name)
        if any(word in words for word in ("charg", "lade", "to ev", "toev", "recharge", "carga")):
            return Guess(what, POSITIVE, LIKELY, f"it is never negative, and '{name}' speaks of charging")
    return Guess(what, "", UNKNOWN, "nothing in the file tells whether positive is into the car; ask who logged it")


def is_meter(numbers: pl.Series) -> bool:
    """Whether a column only counts up (with rare resets) and ends far above its steps: a meter reading."""
    filled = numbers.drop_nulls()
    if filled.len() < 10:
        return False
    steps = filled.diff().drop_nulls()
    up = share_of(steps >= 0)
    rise = float(steps.clip(0).sum())
    largest = float(steps.max() or 0.0)  # type: ignore[arg-type]
    return up > 0.98 and rise > 0 and float(filled[-1]) > 3 * largest
