"""Which column holds which quantity, with unit, sign and reason."""

from __future__ import annotations

from typing import Any

import polars as pl

from warehouse.explaining.dating import clock_of, find_times, join_dates
from warehouse.explaining.draft import Draft
from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE, Guess
from warehouse.explaining.shape import Shape
from warehouse.explaining.signs import is_meter, scale_by_range, share_of, sign_of_current, sign_of_power
from warehouse.explaining.times import Clock
from warehouse.explaining.words import QUANTITY, is_personal, match, plain_name, score, unit_of
from warehouse.raw import LIMITS, RAW_SCHEMAS

_OF_KIND = {
    "samples": (
        "soc_frac",
        "soh_frac",
        "voltage_v",
        "current_a",
        "power_kw",
        "battery_temp_c",
        "ambient_c",
        "odometer_km",
        "energy_in_register_kwh",
        "energy_out_register_kwh",
    ),
    "sessions": ("soc_start_frac", "soc_end_frac", "energy_in_meter_kwh", "energy_out_meter_kwh"),
    "home": ("load_kwh", "pv_kwh"),
    "price": ("price_money_per_kwh",),
    "air": ("air_temp_c",),
}
_OWNER = {
    "samples": "vehicle_id",
    "sessions": "vehicle_id",
    "home": "load_series_id",
    "price": "price_series_id",
    "air": "air_series_id",
}
_CURRENCIES = {"eur": "EUR", "gbp": "GBP", "usd": "USD", "nok": "NOK", "p/": "GBP", "€": "EUR", "£": "GBP", "$": "USD"}


def draft(shape: Shape, file_name: str) -> Draft:
    """Columns of a table (or of flattened JSON) as a format would name them."""
    join_dates(shape)
    numbers = {name: _numbers(cells, shape.decimal) for name, cells in shape.cells.items()}
    clocks = {name: clock for name, cells in shape.cells.items() if (clock := clock_of(name, cells)) is not None}
    values = {n: s for n, s in numbers.items() if s is not None and n not in clocks}
    out = Draft(_kind(shape, values, clocks))
    out.guesses.append(Guess("kind", out.kind, LIKELY, _why_kind(out.kind)))
    out.personal = [name for name in shape.names if name and is_personal(name)]
    if out.personal:
        said = "their names say so; they are masked and never kept"
        out.guesses.append(Guess("personal", ", ".join(out.personal), LIKELY, said))
    used: set[str] = set()
    find_times(out, shape, clocks, values, used, file_name)
    _owner(out, shape, used)
    for quantity in _OF_KIND[out.kind]:
        _quantity(out, shape, quantity, values, used)
    _signs(out, values)
    _mains_side(out, shape)
    _json_keys(out, shape)
    _texts(out, shape, used, clocks)
    _kind_needs(out, shape, values)
    out.unused = [n for n in shape.names if n and n not in used]
    return out


def _numbers(cells: list[str], decimal: str) -> pl.Series | None:
    text = pl.Series(cells, dtype=pl.String)
    if decimal == ",":
        text = text.str.replace(",", ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(value=True), None)
    filled = int((text != "").sum())
    return number if filled and number.drop_nulls().len() >= 0.7 * filled else None


def _kind(shape: Shape, values: dict[str, pl.Series], clocks: dict[str, Clock]) -> str:
    def best(quantity: str, names: Any) -> int:
        return max((score(n, quantity) for n in names), default=0)

    if best("start_utc", clocks) and best("end_utc", clocks) and len(clocks) > 1:
        return "sessions"
    electric = sum(best(q, values) > 0 for q in ("soc_frac", "voltage_v", "current_a", "power_kw"))
    # One-letter names are weak: they count beside others only.
    if electric >= 2 or best("soc_frac", values):
        return "samples"
    if best("load_kwh", values) >= 500:
        return "home"
    priced = any((unit := unit_of(n)) is not None and unit.quantity == "money" for n in values)
    if priced or best("price_money_per_kwh", values) > 700:
        return "price"
    if best("load_kwh", values) or best("pv_kwh", values):
        return "home"
    if electric:
        return "samples"
    return "air" if best("air_temp_c", values) else "samples"


def _why_kind(kind: str) -> str:
    return {
        "samples": "columns of SOC, voltage, current or power stand beside one time",
        "sessions": "there is a start and an end a row",
        "home": "there is a load or a photovoltaic energy and one time",
        "price": "there is a price per energy",
        "air": "there is a temperature and nothing electric",
    }[kind]


def _owner(out: Draft, shape: Shape, used: set[str]) -> None:
    owner = _OWNER[out.kind]
    if owner in ("vehicle_id", "air_series_id"):
        ranked = sorted((n for n in shape.names if n and n not in used), key=lambda n: -match(n, owner))
        if ranked and match(ranked[0], owner) > 0:
            used.add(ranked[0])
            out.columns[owner] = {"from": ranked[0]}
            out.guesses.append(Guess(owner, ranked[0], LIKELY, "its name; it is hashed when it is taken in"))
            return
    out.columns[owner] = {"file_name": r"^([^.]+)"}
    said = "no column names one, so the file's name up to its first dot does"
    out.guesses.append(Guess(owner, "the file's name", UNSURE, said))


def _quantity(out: Draft, shape: Shape, quantity: str, values: dict[str, pl.Series], used: set[str]) -> None:
    ranked = sorted((n for n in values if n not in used), key=lambda n: -score(n, quantity))
    ranked = [n for n in ranked if score(n, quantity) > 0]
    if not ranked:
        return
    name = ranked[0]
    numbers = values[name]
    unit = unit_of(name, shape.units.get(name, ""))
    if unit is not None and unit.quantity == QUANTITY[quantity]:
        scale, offset, sure, why = unit.scale, unit.offset, CERTAIN, f"its name, in {unit.text}"
        bare = "[" not in name and "(" not in name and len(unit.text) == 1
        if bare:
            sure = LIKELY
    else:
        # Of a meter it is the steps that tell the unit.
        told = scale_by_range(QUANTITY[quantity], _steps(numbers) if out.kind == "home" else numbers)
        if told is None:
            return
        scale, offset, sure, why = told[0], told[1], told[2], f"its name; {told[3]}"
    used.add(name)
    low, high, in_unit = LIMITS[quantity]
    canonical = (_steps(numbers) if out.kind == "home" else numbers).drop_nulls() * scale + offset
    absolute = canonical.abs() if quantity in ("current_a", "power_kw") else canonical
    inside = share_of(absolute.is_between(low, high))
    others = [n for n in ranked[1:] if n not in used]
    if others:
        why += f"; not taken: {', '.join(others[:3])}"
    keys: dict[str, Any] = {"from": name}
    if scale != 1.0:
        keys["scale"] = scale
    if offset:
        keys["offset"] = offset
    if inside < 0.5:
        why += f"; but only {inside:.0%} of its values lie between {low:g} and {high:g} {in_unit}"
        out.open[quantity] = keys
        out.guesses.append(Guess(quantity, name, UNKNOWN, why))
        return
    out.columns[quantity] = keys
    out.guesses.append(Guess(quantity, name, sure, why))


def _steps(numbers: pl.Series) -> pl.Series:
    return numbers.diff().clip(0) if is_meter(numbers) else numbers


def _signs(out: Draft, values: dict[str, pl.Series]) -> None:
    def of(quantity: str) -> pl.Series | None:
        column = out.columns.get(quantity)
        return None if column is None else values[column["from"]]

    current, power, soc = of("current_a"), of("power_kw"), of("soc_frac")
    sign: str | None = None
    if current is not None:
        found = sign_of_current(current, soc, of("voltage_v"))
        out.guesses.append(found)
        sign = found.value or None
        _set_sign(out, "current_a", sign)
    if power is not None:
        name = out.columns["power_kw"]["from"]
        found = sign_of_power(name, power, soc, current, sign)
        out.guesses.append(found)
        _set_sign(out, "power_kw", found.value or None)


def _mains_side(out: Draft, shape: Shape) -> None:
    """Voltage and current beside a frequency are of the mains, not of the battery."""
    beside = [n for n in shape.names if {"freq", "frequency", "frequenz", "hz"} & set(plain_name(n).split(" "))]
    beside += [n for n in shape.names if n.rsplit(".", 1)[-1] == "freq" and n not in beside]
    for quantity in ("voltage_v", "current_a"):
        if beside and quantity in out.columns:
            out.open[quantity] = out.columns.pop(quantity)
            said = f"'{beside[0]}' stands beside it, so it may be of the mains and not of the battery"
            out.guesses.append(Guess(quantity, out.open[quantity]["from"], UNKNOWN, said))


def _set_sign(out: Draft, quantity: str, sign: str | None) -> None:
    if sign is not None:
        out.columns[quantity]["sign"] = sign
        return
    out.open[quantity] = out.columns.pop(quantity) | {"sign": "charging_positive"}


def _json_keys(out: Draft, shape: Shape) -> None:
    """What JSON documents need: a name told once is carried on, the object with the readings is named."""
    if not shape.json:
        return
    owner = out.columns.get("vehicle_id", {}).get("from")
    if owner is not None and "." not in owner:
        filled = sum(bool(c) for c in shape.cells[owner])
        if filled < 0.5 * len(shape.cells[owner]):
            out.json["carry"] = [owner]
            said = f"only {filled} documents hold it; those that follow are of the same"
            out.guesses.append(Guess("carried on", owner, LIKELY, said))
    inside = {
        n.split(".", 1)[0] for q, k in out.columns.items() if q != "vehicle_id" and "." in (n := str(k.get("from", "")))
    }
    if len(inside) == 1:
        out.json["reading"] = inside.pop()
        said = "the readings stand in it; a document without it carries none"
        out.guesses.append(Guess("object of readings", str(out.json["reading"]), LIKELY, said))


def _texts(out: Draft, shape: Shape, used: set[str], clocks: dict[str, Clock]) -> None:
    for quantity in ("session_ref", "state"):
        if quantity not in RAW_SCHEMAS[out.kind]:
            continue
        for name in sorted(shape.names, key=lambda n: -match(n, quantity)):
            least = 900 if quantity == "state" else 1
            if not name or name in used or name in clocks or match(name, quantity) < least:
                continue
            if quantity == "state":
                found = {c for c in shape.cells[name] if c}
                if not found <= {"drive", "charge", "export", "rest"}:
                    said = f"holds {', '.join(sorted(found)[:5])}: map them to drive, charge, export, rest"
                    out.guesses.append(Guess("state", name, UNKNOWN, said))
                    out.open["state"] = {"from": name, "map": {v: "rest" for v in sorted(found)[:12]}}
                    used.add(name)
                    break
            used.add(name)
            out.columns[quantity] = {"from": name}
            out.guesses.append(Guess(quantity, name, LIKELY, "its name"))
            break


def _kind_needs(out: Draft, shape: Shape, values: dict[str, pl.Series]) -> None:
    if out.kind == "sessions":
        out.columns["kind"] = {"value": "plugin"}
        said = "a row is taken as a plug-in; write charge, export or drive, or the column that tells"
        out.guesses.append(Guess("kind of session", "plugin", UNSURE, said))
    if out.kind == "price":
        column = out.columns.get("price_money_per_kwh", {}).get("from", "")
        found = next((code for text, code in _CURRENCIES.items() if text in column.lower()), None)
        out.columns["currency"] = {"value": found or "EUR"}
        why = f"'{column}' says so" if found else "nothing tells it"
        out.guesses.append(Guess("currency", found or "EUR", LIKELY if found else UNKNOWN, why))
    if out.kind == "home":
        meters = [c["from"] for q, c in out.columns.items() if q.endswith("_kwh") and is_meter(values[c["from"]])]
        if meters:
            out.meter = {"columns": meters, "step_hours": 1.0}
            why = "they only count up, so each row's energy is the difference to the row before"
            out.guesses.append(Guess("meters", ", ".join(meters), LIKELY, why))
        if "load_kwh" not in out.columns:
            out.open["load_kwh"] = {"from": "?"}
            out.guesses.append(Guess("load_kwh", "", UNKNOWN, "no column's name says that it is the house's load"))
