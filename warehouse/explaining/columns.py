"""Which column holds which quantity, with unit, sign and reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE, Guess
from warehouse.explaining.shape import Shape
from warehouse.explaining.signs import is_meter, scale_by_range, share_of, sign_of_current, sign_of_power
from warehouse.explaining.times import Clock, elapsed_seconds, read_clock
from warehouse.explaining.words import QUANTITY, is_personal, match, plain_name, unit_of
from warehouse.raw import LIMITS, RAW_SCHEMAS

# Words that say: not the measured value itself.
_NOT_MEASURED = {
    "min",
    "max",
    "requested",
    "target",
    "limit",
    "soll",
    "set",
    "setpoint",
    "ziel",
    "available",
    "offered",
    "interpolated",
}
_NOT_OF = {
    "power_kw": {
        "heating",
        "heater",
        "aircon",
        "motor",
        "switch",
        "sw",
        "factor",
        "reactive",
        "a",
        "aux",
        "apparent",
        "max",
    }
}
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


@dataclass
class Draft:
    """A format in the making."""

    kind: str
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)  # columns that want an answer first
    guesses: list[Guess] = field(default_factory=list)
    time: dict[str, Any] = field(default_factory=dict)
    elapsed: dict[str, Any] = field(default_factory=dict)
    meter: dict[str, Any] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    personal: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def draft(shape: Shape, file_name: str) -> Draft:
    """Columns of a table (or of flattened JSON) as a format would name them."""
    _join_dates(shape)
    numbers = {name: _numbers(cells, shape.decimal) for name, cells in shape.cells.items()}
    clocks = {name: clock for name, cells in shape.cells.items() if (clock := _clock_of(name, cells)) is not None}
    values = {n: s for n, s in numbers.items() if s is not None and n not in clocks}
    out = Draft(_kind(shape, values, clocks))
    out.guesses.append(Guess("kind", out.kind, LIKELY, _why_kind(out.kind)))
    out.personal = [name for name in shape.names if name and is_personal(name)]
    if out.personal:
        said = "their names say so; they are masked and never kept"
        out.guesses.append(Guess("personal", ", ".join(out.personal), LIKELY, said))
    used: set[str] = set()
    _times(out, shape, clocks, values, used, file_name)
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


_DAY, _CLOCK = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}"), re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( [AP]M)?")


def _join_dates(shape: Shape) -> None:
    """A column of days and one of clock times make one of times."""
    days, clocks = (
        [
            n
            for n, cells in shape.cells.items()
            if cells and all(p.fullmatch(c) for c in cells[:200] if c) and any(cells)
        ]
        for p in (_DAY, _CLOCK)
    )
    if len(days) == 1 and len(clocks) == 1:
        name = f"{days[0]} {clocks[0]}"
        both = zip(shape.cells[days[0]], shape.cells[clocks[0]], strict=True)
        shape.cells[name] = [f"{day} {clock}" for day, clock in both]
        shape.joined[name] = (days[0], clocks[0])


def _numbers(cells: list[str], decimal: str) -> pl.Series | None:
    text = pl.Series(cells, dtype=pl.String)
    if decimal == ",":
        text = text.str.replace(",", ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(value=True), None)
    filled = int((text != "").sum())
    return number if filled and number.drop_nulls().len() >= 0.7 * filled else None


def _clock_of(name: str, cells: list[str]) -> Clock | None:
    """A column's times; plain numbers only where the name speaks of time."""
    timely = max(match(name, q) for q in ("time_utc", "start_utc", "end_utc")) > 0
    clock = read_clock(name, cells)
    return clock if clock is None or timely or clock.keys.get("format") != "epoch" else None


def _score(name: str, quantity: str, values: dict[str, pl.Series]) -> int:
    score = match(name, quantity)
    if not score:
        return 0
    unit = unit_of(name)
    wanted = QUANTITY.get(quantity)
    if unit is not None and wanted is not None and unit.quantity != wanted and len(unit.text) > 1:
        return 0
    if unit is not None and unit.quantity == wanted:
        score += 50
    words = set(plain_name(name).split())
    if words & _NOT_MEASURED:
        score -= 400
    if words & _NOT_OF.get(quantity, set()):
        return 0
    return max(score, 0)


def _kind(shape: Shape, values: dict[str, pl.Series], clocks: dict[str, Clock]) -> str:
    def best(quantity: str, names: Any) -> int:
        return max((_score(n, quantity, values) for n in names), default=0)

    if best("start_utc", clocks) and best("end_utc", clocks) and len(clocks) > 1:
        return "sessions"
    electric = sum(best(q, values) > 0 for q in ("soc_frac", "voltage_v", "current_a", "power_kw"))
    # One-letter names are weak: they count beside others only.
    if electric >= 2 or best("soc_frac", values):
        return "samples"
    if (
        any((u := unit_of(n)) is not None and u.quantity == "money" for n in values)
        or best("price_money_per_kwh", values) > 700
    ):
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


def _times(
    out: Draft, shape: Shape, clocks: dict[str, Clock], values: dict[str, pl.Series], used: set[str], file_name: str
) -> None:
    wanted = ("start_utc", "end_utc") if out.kind == "sessions" else ("time_utc",)
    for canonical in wanted:
        ranked = sorted(clocks, key=lambda n: (not clocks[n].aware, -match(n, canonical)))
        ranked = [n for n in ranked if n not in used]
        if not ranked:
            continue
        name = ranked[0]
        used.add(name)
        clock = clocks[name]
        out.columns[canonical] = _time_keys(shape, name, used)
        sure = CERTAIN if len(clocks) == len(wanted) else LIKELY
        also = [n for n in ranked[1:] if out.kind != "sessions"]
        why = "the only times of the file" if not also else f"its name; others: {', '.join(also)}"
        out.guesses.append(Guess(canonical, name, sure, why))
        if not out.time:
            out.time = clock.keys
            out.guesses += clock.guesses
    if out.kind == "sessions" or "time_utc" in out.columns:
        return
    for name in sorted(values, key=lambda n: -_score(n, "elapsed", values)):
        unit = unit_of(name, shape.units.get(name, ""))
        scale = unit.scale if unit is not None and unit.quantity == "s" else 1.0
        if not _score(name, "elapsed", values):
            continue
        group = None if elapsed_seconds(values[name], scale) else _group_of(shape, values[name], scale)
        if group is not None or elapsed_seconds(values[name], scale):
            used.add(name)
            days = 3650 if group is None else 1
            out.elapsed = {"column": name, "base": "2000-01-01T00:00:00", "group_days": days, "flag": "date_assumed"}
            if group is not None:
                out.elapsed["group"] = group
                said = f"'{name}' starts anew where it changes; each is put a day after the one before"
                out.guesses.append(Guess("group of times", group, LIKELY, said))
            out.elapsed["base_from_name"] = {"pattern": r"(\d{4}-\d{2}-\d{2})", "format": "%Y-%m-%d"}
            if scale != 1.0:
                out.elapsed["unit_seconds"] = scale
            why = "it starts near zero and never goes back: time since the start"
            out.guesses.append(Guess("elapsed time", name, LIKELY, why))
            said = "no date in the file: one in its name (2024-05-01) is taken, else 2000-01-01; write the true one"
            out.guesses.append(Guess("date", "2000-01-01", UNKNOWN, said))
            return
    out.open["time_utc"] = {"from": "?"}
    out.guesses.append(Guess("time_utc", "", UNKNOWN, "no column reads as a time in any known spelling"))


def _group_of(shape: Shape, seconds: pl.Series, scale: float) -> str | None:
    """Column within whose values the seconds only go forward, from near zero."""
    for name in shape.names:
        if not match(name, "session_ref"):
            continue
        frame = pl.DataFrame({"g": shape.cells[name], "s": seconds})
        groups = [part["s"] for (_,), part in frame.group_by("g", maintain_order=True) if part.height > 1]
        if groups and all(elapsed_seconds(part, scale) and float(part.max() or 0) * scale <= 86_400 for part in groups):  # type: ignore[arg-type]
            return name
    return None


def _time_keys(shape: Shape, name: str, used: set[str]) -> dict[str, Any]:
    """Keys of a time; a date and a clock in two columns are joined."""
    if name not in shape.joined:
        return {"from": name}
    day, clock = shape.joined[name]
    used |= {day, clock}
    return {"from": day, "join": [clock]}


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
    ranked = sorted((n for n in values if n not in used), key=lambda n: -_score(n, quantity, values))
    ranked = [n for n in ranked if _score(n, quantity, values) > 0]
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
