"""Transactions of chargers as sessions: from the messages of a stream, with the energy of their registers.

One transaction is one plug-in. Energy is what the register rose from begin to end; drop-outs to zero are passed over,
after a reset only what the register rises by afterwards counts, and where there is no register, intervals are summed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warehouse.raw import FIRST_YEAR, LAST_YEAR, LIMITS, RAW_SCHEMAS
from warehouse.readers.ocpp_message import COLUMNS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_SOC, _IN, _OUT = (COLUMNS.index(n) for n in ("soc_frac", "energy_in_register_kwh", "energy_out_register_kwh"))
_SUM_IN, _SUM_OUT = COLUMNS.index("interval_in_kwh"), COLUMNS.index("interval_out_kwh")
FIRST_US, LAST_US = (
    int((np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")) / np.timedelta64(1, "us"))
    for year in (FIRST_YEAR, LAST_YEAR + 1)
)
# Ids that stand for no transaction: the largest and least integers, and those below one (lbbrhzn/ocpp#45).
SENTINELS = frozenset({"9223372036854775807", "-9223372036854775808", "2147483647", "4294967295", "-1", "0", ""})
# Open transactions and ids of closed ones that are remembered; a charger has a few.
_MOST_OPEN, _MOST_CLOSED = 20_000, 100_000
# A register of the session begins below this, and one that shows whole kWh errs by less; a fall of the register by less
# than a step is rounding. [kWh]
FROM_ZERO_KWH, METER_STEP_KWH = 1.0, 0.05
# Readings of the session and lifetime readings at its ends tell the same energy: the last reading may be a while old.
METER_AGREE_KWH, METER_AGREE_FRAC = 0.3, 0.05
Key = tuple[str, str]


@dataclass
class Transaction:
    """What is known of one transaction."""

    station: str
    ref: str | None
    connector: int | None = None
    token: str | None = None
    start_us: int | None = None
    end_us: int | None = None
    first_us: int | None = None
    line: int = 0
    flags: set[str] = field(default_factory=set)
    times: list[Ints] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    # 1.6: the register at start and stop, which may be of another kind than that of the readings between.
    meter_start_kwh: float = float("nan")
    meter_stop_kwh: float = float("nan")

    def add(self, times: Ints, values: Floats) -> None:
        """Readings of the transaction, columns as `COLUMNS`."""
        self.times.append(times)
        self.values.append(values)
        if times.size:
            least = int(times.min())
            self.first_us = least if self.first_us is None else min(self.first_us, least)


class Transactions:
    """Open transactions of a stream."""

    def __init__(self) -> None:
        self.open: dict[Key, Transaction] = {}
        self.pending: dict[Key, Transaction] = {}  # 1.6: started, the system's answer with the id not yet seen
        self.closed: dict[Key, tuple[int | None, str | None]] = {}
        self.over: list[Transaction] = []

    def get(self, station: str, ref: str) -> Transaction | None:
        """The open transaction of an id, a new one at its first message, `None` after its end."""
        key = (station, ref)
        found = self.open.get(key)
        if found is None and key not in self.closed:
            found = self.open[key] = Transaction(station, ref)
            while len(self.open) > _MOST_OPEN:
                self.over.append(self.open.pop(next(iter(self.open))))
        return found

    def start(self, station: str, message_id: str, transaction: Transaction) -> None:
        """1.6: a StartTransaction, which gets its id with the answer to its message."""
        self.pending[(station, message_id)] = transaction
        while len(self.pending) > _MOST_OPEN:
            self.over.append(self.pending.pop(next(iter(self.pending))))

    def answer(self, station: str, message_id: str, ref: str) -> None:
        """1.6: the answer to a StartTransaction."""
        begun = self.pending.pop((station, message_id), None)
        if begun is not None:
            self._name(begun, ref)

    def adopt(self, station: str, ref: str, connector: int | None) -> None:
        """1.6: the first use of an id whose answer was not logged belongs to the start before it on that connector."""
        key = (station, ref)
        if key in self.open or key in self.closed or ref in SENTINELS:
            return
        fits = [k for k, t in self.pending.items() if k[0] == station and connector in (None, t.connector)]
        if len(fits) == 1:
            begun = self.pending.pop(fits[0])
            begun.flags.add("start_joined_by_order")
            self._name(begun, ref)

    def _name(self, begun: Transaction, ref: str) -> None:
        if ref in SENTINELS:
            begun.flags.add("sentinel_id")
            self.over.append(begun)
            return
        key = (begun.station, ref)
        begun.ref = ref
        before = self.open.get(key)
        if before is not None:  # readings came before the answer
            begun.times += before.times
            begun.values += before.values
            begun.line = begun.line or before.line
        self.open[key] = begun

    def close(self, station: str, ref: str) -> Transaction | None:
        """Take a transaction out at its end."""
        found = self.open.pop((station, ref), None)
        if found is not None:
            self.closed[(station, ref)] = (found.connector, found.token)
            while len(self.closed) > _MOST_CLOSED:
                del self.closed[next(iter(self.closed))]
        return found

    def rest(self) -> list[Transaction]:
        """Everything still open at the end of the stream."""
        left = [*self.over, *self.open.values(), *self.pending.values()]
        self.over, self.open, self.pending = [], {}, {}
        return left


def register_energy(register: Floats) -> tuple[float | None, set[str]]:
    """What a register rose by [kWh], over drop-outs and resets; `None` with fewer than two readings.

    Examples
    --------
    >>> register_energy(np.array([10.0, 12.0, 0.0, 0.0, 13.5]))
    (3.5, {'register_dropout'})
    >>> register_energy(np.array([10.0, 12.0, 0.0, 1.5, 2.0]))
    (4.0, {'register_reset'})
    """
    values = register[np.isfinite(register)]
    if values.size < 2:
        return None, set()
    if np.all(np.diff(values) >= 0):
        return float(values[-1] - values[0]), set()
    flags: set[str] = set()
    # Zeros between readings of which the later is not below the earlier: the meter did not answer.
    kept: list[float] = []
    zeros = 0
    for value in values.tolist():
        if value == 0.0 and kept and kept[-1] > 0.0:
            zeros += 1
            continue
        if zeros and value < kept[-1]:
            kept += [0.0]
        elif zeros:
            flags.add("register_dropout")
        zeros = 0
        kept.append(value)
    if zeros:
        flags.add("register_dropout")
    steps = np.diff(np.array(kept))
    if np.any(steps < 0):
        flags.add("register_reset")
    rises = np.cumsum(np.where(steps > 0, steps, 0.0))
    return (float(rises[-1]) if rises.size else 0.0), flags


def meter_energy(register: Floats, start: float, stop: float) -> tuple[float | None, set[str]]:
    """What a session took by its readings and by the meter at its start and stop (OCPP 1.6). [kWh]

    Readings may count from the beginning of the session while start and stop count over the meter's life. Where both
    say the same, or one is silent and the other counts from zero, the energy is certain; else it is not known.

    Examples
    --------
    >>> meter_energy(np.array([0.0, 0.5, 6.1]), 1234.5, 1240.7)
    (6.2, {'register_per_session'})
    >>> meter_energy(np.array([0.0, 0.5, 6.1]), 1234.5, 1301.0)
    (None, {'register_mixed'})
    >>> meter_energy(np.array([0.0, 0.5, 6.1]), 2.0, 8.2)  # a new meter: its life is shorter than the session
    (6.2, {'register_per_session'})
    >>> meter_energy(np.array([1234.0, 1234.0, 1235.0]), 1234.5, 1235.25)
    (0.75, set())
    """
    own = register[np.isfinite(register)]
    if own.size and own[0] >= FROM_ZERO_KWH:  # whole kWh, or a reading from just before: the same register
        own = np.where((own < start) & (own >= start - FROM_ZERO_KWH), start, own)
    mixed: tuple[float | None, set[str]] = (None, {"register_mixed"})
    high = bool(np.isfinite(start)) and own.size > 0 and own.max() >= start - METER_STEP_KWH
    if not np.isfinite(start) or not np.any(own > 0.0) or (high and not _beside(own, start, stop)):
        return register_energy(np.concatenate(([start], own, [stop])))
    rise, flags = register_energy(np.concatenate(([0.0], own)) if own[0] < FROM_ZERO_KWH else own)
    counts = rise is not None and own[0] < FROM_ZERO_KWH and not flags
    agree = max(METER_AGREE_KWH, METER_AGREE_FRAC * (rise or 0.0))
    if np.isfinite(stop) and stop >= start - METER_STEP_KWH:
        whole = max(float(round(stop - start, 6)), 0.0)
        return (whole, {"register_per_session"}) if counts and abs(whole - (rise or 0.0)) <= agree else mixed
    if counts and (not np.isfinite(stop) or abs(stop - float(own[-1])) <= agree):
        return max(float(own[-1]), stop if np.isfinite(stop) else 0.0), {"register_per_session"}
    return mixed


def _beside(own: Floats, start: float, stop: float) -> bool:
    """Whether readings that rise from zero past the start's are still not its register: a young meter beside a session.

    Then start and stop are as far apart as the readings say; after a reset the stop would be the last reading.
    """
    counts = own[0] < min(FROM_ZERO_KWH, start - METER_STEP_KWH) and bool(np.all(np.diff(own) >= 0.0))
    agree = max(METER_AGREE_KWH, METER_AGREE_FRAC * float(own[-1]))
    return counts and abs(stop - start - float(own[-1])) <= agree < abs(stop - float(own[-1]))


def _energy(
    values: Floats, register: int, interval: int, start: float = float("nan"), stop: float = float("nan")
) -> tuple[float | None, set[str]]:
    energy, flags = meter_energy(values[:, register], start, stop)
    if energy is not None or flags:
        return energy, flags
    sums = values[:, interval]
    sums = sums[np.isfinite(sums)]
    return (float(np.cumsum(sums)[-1]), {"interval_summed"}) if sums.size else (None, set())


def session_row(tx: Transaction, vehicle: str) -> dict[str, object] | None:
    """Row of a transaction as ``RAW_SCHEMAS["sessions"]`` has it; `None` when it has no usable time at all."""
    flags = set(tx.flags)
    times = np.concatenate(tx.times) if tx.times else np.empty(0, np.int64)
    values = np.concatenate(tx.values) if tx.values else np.empty((0, len(COLUMNS)))
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    start, end = tx.start_us, tx.end_us
    if start is None:
        start = tx.first_us if tx.first_us is not None else end
        flags.add("start_missing")
    if start is None:
        return None
    if end is not None and end < start:
        flags.add("negative_duration")
        end, values = None, values[:0]  # its readings are not in the order of their times
    elif end is None:
        flags.add("open")
    row: dict[str, object] = {"energy_in_meter_kwh": None, "energy_out_meter_kwh": None}
    for name, register, interval in (("in", _IN, _SUM_IN), ("out", _OUT, _SUM_OUT)):
        meter = (tx.meter_start_kwh, tx.meter_stop_kwh) if name == "in" and "negative_duration" not in flags else ()
        energy, found = _energy(values, register, interval, *meter)
        flags |= found
        column = f"energy_{name}_meter_kwh"
        if energy is not None and energy > LIMITS[column][1]:
            flags.add("impossible_value")
            energy = None
        row[column] = energy
    soc = values[:, _SOC][np.isfinite(values[:, _SOC])]
    if soc.size:
        row["soc_start_frac"], row["soc_end_frac"] = float(soc[0]), float(soc[-1])
    if tx.ref in SENTINELS:
        flags.add("sentinel_id")
    ref = None if tx.ref in SENTINELS else tx.ref
    row |= {"vehicle_id": vehicle, "logger": "charger", "session_ref": ref, "kind": "plugin", "line": tx.line}
    return row | {"start_utc": start, "end_utc": end, "flags": sorted(flags), "shared": None}


def session_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows of sessions as a frame."""
    columns = RAW_SCHEMAS["sessions"]
    frame = pl.DataFrame(
        {name: pl.Series([row.get(name) for row in rows], dtype=_storage(dtype)) for name, dtype in columns.items()}
    )
    return frame.with_columns(pl.col("start_utc", "end_utc").cast(pl.Datetime("us")))


def _storage(dtype: pl.DataType) -> pl.DataType:
    return pl.Int64() if isinstance(dtype, pl.Datetime) else dtype
