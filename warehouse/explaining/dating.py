"""Which column tells the time of a row: a clock, a day and a clock, or seconds since a start."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from warehouse.explaining.draft import Draft
from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, Guess
from warehouse.explaining.shape import Shape
from warehouse.explaining.times import Clock, elapsed_seconds, read_clock
from warehouse.explaining.words import match, score, unit_of

_DAY, _CLOCK = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}"), re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( [AP]M)?")


def join_dates(shape: Shape) -> None:
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


def clock_of(name: str, cells: list[str]) -> Clock | None:
    """A column's times; plain numbers only where the name speaks of time."""
    timely = max(match(name, q) for q in ("time_utc", "start_utc", "end_utc")) > 0
    clock = read_clock(name, cells)
    return clock if clock is None or timely or clock.keys.get("format") != "epoch" else None


def find_times(
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
    for name in sorted(values, key=lambda n: -score(n, "elapsed")):
        unit = unit_of(name, shape.units.get(name, ""))
        scale = unit.scale if unit is not None and unit.quantity == "s" else 1.0
        if not score(name, "elapsed"):
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
