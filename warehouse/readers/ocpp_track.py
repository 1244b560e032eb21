"""Which session and which car each message of a block belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from warehouse.readers.ocpp_gather import Gathered, Rows
from warehouse.readers.ocpp_names import distinct_rows
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
        gathered.station[gathered.station == 0] = gathered.names.code(station)
    refused = gathered.is_refused()
    first = _first_uses(gathered)
    ended: list[tuple[Transaction, int]] = []
    # A mere update says nothing of its transaction after the first, unless it brings the id token.
    update = gathered.names.code("Updated")
    follow = first | ((gathered.event != 0) & ((gathered.event != update) | (gathered.token != 0)))
    for row in np.flatnonzero(follow & ~refused).tolist():
        place = gathered.names.text(gathered.station[row])
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
            if vehicle is not None and row not in gathered.refused():
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
    of_any = np.flatnonzero(gathered.transaction)
    first[of_any[distinct_rows(gathered.station[of_any], gathered.transaction[of_any])[1]]] = True
    return first


def _follow(
    transactions: Transactions,
    gathered: Gathered,
    row: int,
    place: str,
    ended: list[tuple[Transaction, int]],
    new: bool,
) -> None:
    said = gathered.names.text
    event, ref, token = said(gathered.event[row]), said(gathered.transaction[row]), said(gathered.token[row])
    connector = int(gathered.connector[row]) if gathered.connector[row] >= 0 else None
    time = int(gathered.event_time[row])
    time_good = FIRST_US <= time < LAST_US
    if event == "start16":
        if not gathered.repeated[row]:
            begun = Transaction(place, None, connector, token, time if time_good else None)
            begun.first_us, begun.meter_start_kwh = begun.start_us, float(gathered.meter[row])
            transactions.start(place, str(said(gathered.message_id[row])), begun)
        return
    if event == "result16":
        if ref is not None:
            transactions.answer(place, str(said(gathered.message_id[row])), ref)
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
    found.token = token or found.token
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
    code = np.full(gathered.n, -1, dtype=np.int64)
    used = np.flatnonzero(np.bincount(rows.record, minlength=gathered.n))
    columns = (gathered.station, gathered.transaction, gathered.token, gathered.connector)
    index, first = distinct_rows(*(column[used] for column in columns))
    texts = gathered.names
    found: list[tuple[int, int, int]] = []
    for row in used[first].tolist():
        place, ref, token = (texts.text(column[row]) for column in columns[:3])
        vehicle, session, number = _named(transactions, codes, spec, place, ref, token, int(gathered.connector[row]))
        found.append((texts.code(vehicle), texts.code(session), number))
    gathered.vehicle[used], gathered.ref[used], code[used] = np.array(found, dtype=np.int64).reshape(-1, 3)[index].T
    for row in used[gathered.vehicle[used] == 0].tolist():
        why = _NO_STATION if gathered.station[row] == 0 else "its id token is not known"
        gathered.refuse(row, "missing_owner", why)
    sentinel, over = code == _SENTINEL, code == _OVER
    rows.flag(sentinel[rows.record], "sentinel_id")
    rows.flag(over[rows.record], "session_over")
    fresh = ~gathered.repeated[rows.record]
    mine = np.where(fresh, code[rows.record], -1)
    order = np.argsort(mine, kind="stable")
    ordered = mine[order]
    breaks = np.searchsorted(ordered, np.arange(len(codes) + 1)).tolist()
    times, values = rows.time[order], rows.values[order]
    for key, a, b in zip(codes, breaks[:-1], breaks[1:], strict=True):
        transactions.open[key].add(times[a:b].copy(), values[a:b].copy())


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
