"""Numbers and dates as a reader sees them: fixed digits, percent, signs, local currency. No locale, no clock.

Every function takes ``None`` or NaN as "not known", so that a page never shows ``nan``.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NBSP = "\u00a0"
MINUS = "\u2212"
DASH = "\u2013\u2060"  # an en dash that does not break the line
UNKNOWN = "not known"
SYMBOLS = {
    "EUR": "€",
    "GBP": "£",
    "USD": "$",
    "JPY": "¥",
    "NOK": "NOK" + NBSP,
    "SEK": "SEK" + NBSP,
    "DKK": "DKK" + NBSP,
}
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def known(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 0, plus: bool = False) -> str:
    """A number with thousands separators, a true minus sign and no negative zero.

    >>> number(-1234.56, 1), number(-0.04, 1), number(3.2, 1, plus=True), number(None)
    ('−1,234.6', '0.0', '+3.2', 'not known')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    body = f"{abs(value):,.{digits}f}"
    if not body.strip("0.,"):
        return body
    return (MINUS if value < 0 else "+" if plus else "") + body


def percent(frac: float | None, digits: int = 0) -> str:
    """A fraction as a percentage.

    >>> percent(0.934) == "93" + NBSP + "%"
    True
    """
    return UNKNOWN if not known(frac) else number((frac or 0.0) * 100, digits) + NBSP + "%"


def chance(frac: float | None) -> str:
    """A probability for a reader: never a false 0 % or 100 %.

    >>> chance(0.0004) == "below 1" + NBSP + "%", chance(0.031) == "3" + NBSP + "%", chance(0.9999)[:5]
    (True, True, 'above')
    """
    if frac is None or not math.isfinite(frac):
        return UNKNOWN
    if frac < 0.005:
        return f"below 1{NBSP}%"
    return f"above 99{NBSP}%" if frac > 0.995 else percent(frac)


def _ends(low: float, high: float, digits: int, plus: bool = False) -> str:
    a, b = number(low, digits, plus), number(high, digits, plus)
    return a if a == b else f"{a} to {b}"


def percent_range(low: float | None, high: float | None, digits: int = 0) -> str:
    """An interval of fractions in percent, e.g. ``91–95 %``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return UNKNOWN
    a, b = number(low * 100, digits), number(high * 100, digits)
    return f"{a}{NBSP}%" if a == b else f"{a}{DASH}{b}{NBSP}%"


def chance_range(low: float | None, high: float | None) -> str:
    """An interval of probabilities.

    >>> chance_range(0.0, 0.002) == "below 1" + NBSP + "%"
    True
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return UNKNOWN
    if high < 0.005:
        return f"below 1{NBSP}%"
    return percent_range(low, high)


def points(value: float | None, digits: int = 1) -> str:
    """Percentage points with a sign, e.g. ``+0.6``."""
    return number(value, digits, plus=True)


def points_range(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval of percentage points, e.g. ``−0.1 to +1.4``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return UNKNOWN
    return _ends(low, high, digits, plus=True)


def number_range(low: float | None, high: float | None, digits: int = 0) -> str:
    """An interval of numbers, e.g. ``12,000 to 14,000``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return UNKNOWN
    return _ends(low, high, digits)


def money(value: float | None, currency: str, digits: int = 0, plus: bool = False) -> str:
    """An amount in local currency.

    >>> money(-12.4, "EUR"), money(1500, "NOK").replace(NBSP, " "), money(3, "CHF").replace(NBSP, " ")
    ('−€12', 'NOK 1,500', 'CHF 3')
    """
    body = number(value, digits, plus)
    if body == UNKNOWN:
        return UNKNOWN
    symbol = SYMBOLS.get(currency, f"{currency}{NBSP}" if currency else "")
    sign = body[0] if body[0] in (MINUS, "+") else ""
    return sign + symbol + body[len(sign) :]


def money_range(low: float | None, high: float | None, currency: str, digits: int = 0, plus: bool = False) -> str:
    """An interval of amounts."""
    if not (known(low) and known(high)):
        return UNKNOWN
    a, b = money(low, currency, digits, plus), money(high, currency, digits, plus)
    return a if a == b else f"{a} to {b}"


def day(value: date | None) -> str:
    """A date in words.

    >>> day(date(2024, 12, 3)).replace(NBSP, " ")
    '3 December 2024'
    """
    return UNKNOWN if value is None else f"{value.day}{NBSP}{MONTHS[value.month - 1]}{NBSP}{value.year}"


def local_day(value: datetime | None, time_zone: str) -> date | None:
    """Local calendar day of a UTC time (UTC's own where the time zone is unknown)."""
    if value is None:
        return None
    try:
        zone = ZoneInfo(time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return value.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).date()


def words(name: str) -> str:
    """An identifier as words.

    >>> words("list_price_money"), words("evening_peak_3_kw")
    ('list price', 'evening peak 3 kW')
    """
    text = name
    for unit in ("_money", "_frac", "_wh_per_km", "_utc"):
        text = text.removesuffix(unit)
    text = text.replace("_kwh", " kWh").replace("_kwp", " kWp").replace("_kw", " kW").replace("_", " ")
    return text.removesuffix(" id").strip()


def years(value: float | None, digits: int = 1) -> str:
    """A span of years.

    >>> years(1.0).replace(NBSP, " "), years(None)
    ('1.0 years', 'not known')
    """
    return UNKNOWN if not known(value) else f"{number(value, digits)}{NBSP}years"


def plural(count: int, noun: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, "vehicle"), plural(3, "vehicle"), plural(2, "day", "days")
    ('1 vehicle', '3 vehicles', '2 days')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listing(items: list[str] | tuple[str, ...]) -> str:
    """A list in a sentence.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
