"""Which session and which car each message of a block belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from warehouse.readers.ocpp_gather import Gathered, Rows, absent
from warehouse.readers.ocpp_sessions import FIRST_US, LAST_US, SENTINELS, Transaction, Transactions

if TYPE_CHECKING:
    from warehouse.formatspec import OcppSpec

_NO_STATION = "the message does not name its station, nor does the file's name"
_SENTINEL, _OVER = -2, -3


def vehicle_of(station: str, connector: int | None, token: str | None, spec: OcppSpec) -> str | None:
    """The vehicle as the log names it: the station, with its connector from the second on, or the id token."""
    if spec.owner == "token":
        return token
    return station if connector in (None, 0, 1) else f"{station}/{connector}"


def track(
    transactions: Transactions, gathered: Gathered, rows: Rows, station: str | None, spec: OcppSpec
) -> list[tuple[Transaction, str, int | None]]:
    """Follow the transactions through a block, in the order of the log, and name vehicle and session of each message.

    Returns
    -------
    list
        Sessions that ended: transaction, vehicle, and the message that closed it (`None`: given up).
    """
    if station is not None:
        gathered.station[absent(gathered.station)] = station
    refused = gathered.is_refused()
    first = _first_uses(gathered)
    ended: list[tuple[Transaction, int]] = []
    # A mere update says nothing of its transaction after the first, unless it brings the id token.
    follow = first | (~absent(gathered.event) & ((gathered.event != "Updated") | ~absent(gathered.token)))
    for row in np.flatnonzero(follow & ~refused).tolist():
        place = gathered.station[row]
        if place is None:
            gathered.refuse(row, "missing_owner", _NO_STATION)
            continue
        _follow(transactions, gathered, row, place, ended, new=bool(first[row]))
    _name(transactions, gathered, rows, spec)
    done: list[tuple[Transaction, str, int | None]] = []
    for transaction, row in ended:
        closed = transactions.close(transaction.station, transaction.ref or "")
        if closed is not None:
            vehicle = vehicle_of(closed.station, closed.connector, closed.token, spec)
            if vehicle is not None and not gathered.is_refused()[row]:
                done.append((closed, vehicle, row))
    over, transactions.over = transactions.over, []
    for transaction in over:
        vehicle = vehicle_of(transaction.station, transaction.connector, transaction.token, spec)
        if vehicle is not None:
            done.append((transaction, vehicle, None))
    return done


def _first_uses(gathered: Gathered) -> np.ndarray:
    """First message of each transaction in the block."""
    first = np.zeros(gathered.n, np.bool_)
    seen: set[tuple[str | None, str]] = set()
    stations = gathered.station.tolist()
    for row, ref in enumerate(gathered.transaction.tolist()):
        if ref is not None and (stations[row], ref) not in seen:
            seen.add((stations[row], ref))
            first[row] = True
    return first


def _follow(
    transactions: Transactions,
    gathered: Gathered,
    row: int,
    place: str,
    ended: list[tuple[Transaction, int]],
    new: bool,
) -> None:
    event, ref = gathered.event[row], gathered.transaction[row]
    connector = int(gathered.connector[row]) if gathered.connector[row] >= 0 else None
    time = int(gathered.event_time[row])
    time_good = FIRST_US <= time < LAST_US
    if event == "start16":
        if not gathered.repeated[row]:
            begun = Transaction(place, None, connector, gathered.token[row], time if time_good else None)
            begun.first_us, begun.meter_start_kwh = begun.start_us, float(gathered.meter[row])
            transactions.start(place, str(gathered.message_id[row]), begun)
        return
    if event == "result16":
        if ref is not None:
            transactions.answer(place, str(gathered.message_id[row]), ref)
        return
    if ref is None:
        return
    if new:
        transactions.adopt(place, ref, connector)
    if ref in SENTINELS:
        return
    found = transactions.get(place, ref)
    if found is None:
        return
    found.connector = connector if found.connector is None else found.connector
    found.token = gathered.token[row] or found.token
    if event == "Started" and time_good and found.start_us is None:
        found.start_us = time
    if event in ("Started", "Updated", "Ended") and time_good:
        found.first_us = time if found.first_us is None else min(found.first_us, time)
    if event in ("Ended", "stop16"):
        if time_good:
            found.end_us = time
            if np.isfinite(gathered.meter[row]) and not gathered.repeated[row]:
                found.first_us = time if found.first_us is None else min(found.first_us, time)
                found.meter_stop_kwh = float(gathered.meter[row])
        ended.append((found, row))


def _name(transactions: Transactions, gathered: Gathered, rows: Rows, spec: OcppSpec) -> None:
    """Vehicle and session of every message with readings; the readings go to their transactions."""
    codes: dict[tuple[str, str], int] = {}
    known: dict[tuple[Any, ...], tuple[str | None, str | None, int]] = {}
    code = np.full(gathered.n, -1, dtype=np.int64)
    used = np.flatnonzero(np.bincount(rows.record, minlength=gathered.n))
    columns = (gathered.station[used], gathered.transaction[used], gathered.token[used], gathered.connector[used])
    for row, *said in zip(used.tolist(), *(column.tolist() for column in columns), strict=True):
        key = tuple(said)
        found = known.get(key)
        if found is None:
            found = known[key] = _named(transactions, codes, spec, *key)
        gathered.vehicle[row], gathered.ref[row], code[row] = found
        if found[0] is None:
            gathered.refuse(row, "missing_owner", _NO_STATION if said[0] is None else "its id token is not known")
    sentinel, over = code == _SENTINEL, code == _OVER
    rows.flag(sentinel[rows.record], "sentinel_id")
    rows.flag(over[rows.record], "session_over")
    fresh = ~gathered.repeated[rows.record]
    mine = np.where(fresh, code[rows.record], -1)
    order = np.argsort(mine, kind="stable")
    ordered = mine[order]
    keys = list(codes)
    for index in range(len(keys)):
        a, b = np.searchsorted(ordered, [index, index + 1])
        part = order[a:b]
        transactions.open[keys[index]].add(rows.time[part], rows.values[part])


def _named(
    transactions: Transactions,
    codes: dict[tuple[str, str], int],
    spec: OcppSpec,
    place: str | None,
    ref: str | None,
    token: str | None,
    connector: int,
) -> tuple[str | None, str | None, int]:
    """Vehicle, session and number of the open transaction (or `_SENTINEL`, `_OVER`, -1) of a message."""
    if place is None:
        return None, None, -1
    if ref is None or ref in SENTINELS:
        return vehicle_of(place, max(connector, 1), token, spec), None, -1 if ref is None else _SENTINEL
    key = (place, ref)
    found = transactions.open.get(key)
    if found is None:
        of_connector, of_token = transactions.closed.get(key, (None, None))
        code = _OVER
    else:
        of_connector, of_token = found.connector, found.token
        code = codes.setdefault(key, len(codes))
    connector = connector if connector >= 0 else of_connector or 1
    return vehicle_of(place, max(connector, 1), token or of_token, spec), ref, code
