"""What one message says: station, transaction, and the readings of each of its times.

`interpret` works on a parsed message whose values are either plain (one message) or marks of slots (a shape that
thousands of messages share); the readings are then computed from whatever the marks stand for.

Rules. Power and registers are those at the connector (location Outlet, the default), else at the charger's inlet; a
value without phase wins over its phases, which are summed. Import is positive, export negative. Voltage and current are
the battery's side only where the location is EV (or Outlet, where the format says that the charger's outlet is DC),
without phase.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warehouse.readers import ocpp_schema as schema

if TYPE_CHECKING:
    from warehouse.formatspec import OcppSpec

COLUMNS = (
    *("voltage_v", "current_a", "soc_frac", "power_kw", "energy_in_register_kwh", "energy_out_register_kwh"),
    *("interval_in_kwh", "interval_out_kwh"),
)
_ENERGY = {"WH": -3, "KWH": 0, "MWH": 3}
_POWER = {"W": -3, "KW": 0, "MW": 3}
_PERCENT = {"PERCENT": -2, "%": -2}
# Measurand -> (quantity, sign, units as powers of ten of the canonical unit, unit where none is given).
_MEASURANDS: dict[str, tuple[str, int, dict[str, int], int]] = {
    "Energy.Active.Import.Register": ("energy_in_register_kwh", 1, _ENERGY, -3),
    "Energy.Active.Export.Register": ("energy_out_register_kwh", 1, _ENERGY, -3),
    "Energy.Active.Import.Interval": ("interval_in_kwh", 1, _ENERGY, -3),
    "Energy.Active.Export.Interval": ("interval_out_kwh", 1, _ENERGY, -3),
    "Power.Active.Import": ("power_kw", 1, _POWER, -3),
    "Power.Active.Export": ("power_kw", -1, _POWER, -3),
    "SoC": ("soc_frac", 1, _PERCENT, -2),
    "Display.PresentSOC": ("soc_frac", 1, _PERCENT, -2),
    "Voltage": ("voltage_v", 1, {"V": 0, "KV": 3, "MV": -3}, 0),
    "Current.Import": ("current_a", 1, {"A": 0, "MA": -3}, 0),
    "Current.Export": ("current_a", -1, {"A": 0, "MA": -3}, 0),
}
_TYPES = {"2": 2, "call": 2, "request": 2, "3": 3, "callresult": 3, "response": 3, "4": 4, "callerror": 4, "error": 4}
_PHASES = (("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N"))
_RESTING = ("EVConnected", "SuspendedEV", "SuspendedEVSE", "Idle")
MAX_NESTING = 64


@dataclass(frozen=True)
class Entry:
    """Readings of one time: column -> terms (value, power of ten, sign), summed."""

    time: Any
    terms: dict[str, tuple[tuple[Any, int, int], ...]]
    state: str | None = None
    flags: tuple[str, ...] = ()
    clock_aligned: bool = False


@dataclass(frozen=True)
class Plan:
    """What a message (or every message of a shape) says; `reject` is (reason, detail)."""

    reject: tuple[str, str] | None = None
    event: str = ""  # Started, Updated, Ended; start16, stop16, result16
    station: Any = None
    logged: Any = None
    message_id: Any = None
    transaction: Any = None
    token: Any = None
    connector: int | None = None
    event_time: Any = None
    meter: Any = None
    entries: tuple[Entry, ...] = ()
    flags: tuple[str, ...] = ()
    unreadable: bool = False


@dataclass
class _Picked:
    """Sampled values of one time by measurand, location and phase; the last of each wins.

    A reading of the session's (or interruption's) beginning that is sent again beside one of the moment is none.
    """

    values: dict[tuple[str, str], dict[str | None, tuple[Any, int]]] = field(default_factory=dict)
    of_begin: dict[tuple[str, str], bool] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    aligned: bool = False


def interpret(message: Any, plain: Any, spec: OcppSpec) -> Plan:
    """What a message says.

    Parameters
    ----------
    message
        The parsed record, its values plain or marks of slots.
    plain
        The same with plain values, for the schema.
    spec
        Version, and where the logger writes what.
    """
    frame, wrapper = _frame(message, spec)
    plain_frame, _ = _frame(plain, spec)
    if frame is None or plain_frame is None:
        return Plan(reject=("bad_message", "the record holds no OCPP message ([2, id, action, {...}])"))
    kind = plain_frame[0]
    common: dict[str, Any] = {
        "station": _first(wrapper, (spec.station_key,) if spec.station_key else schema.STATION_KEYS),
        "logged": _first(wrapper, schema.TIME_KEYS),
        "message_id": frame[1],
    }
    if isinstance(common["station"], dict | list | bool):
        common["station"] = None
    if kind == 3:
        payload = frame[2]
        if (
            spec.version == "1.6"
            and isinstance(payload, dict)
            and "idTagInfo" in payload
            and "transactionId" in payload
        ):
            return Plan(event="result16", transaction=payload["transactionId"], **common)
        return Plan(**common)
    if kind in (4, 5, 6):
        return Plan(**common)
    action, payload, body = plain_frame[2], frame[3], plain_frame[3]
    if not isinstance(action, str):
        return Plan(reject=("bad_message", "the message's action is no text"), **common)
    if action not in schema.ACTIONS[spec.version]:
        if action in ("TransactionEvent", "StartTransaction", "StopTransaction"):
            said = f"action {action} is not of OCPP {spec.version}; take the file in with the format of its version"
            return Plan(reject=("bad_message", said), **common)
        return Plan(**common)
    fault, loose = schema.problems(body, action, spec.version)
    if fault is not None:
        if spec.version == "2.0.1" and schema.problems(body, action, "2.1")[0] is None:
            fault += "; it is OCPP 2.1: take the file in with format ocpp_21"
        return Plan(reject=("bad_message", fault), **common)
    flags = ("vendor_fields",) if loose else ()
    if action == "TransactionEvent":
        return _event(payload, body, spec, common, flags)
    if action == "StartTransaction":
        return Plan(
            event="start16",
            connector=_connector(body.get("connectorId")),
            token=payload.get("idTag"),
            event_time=payload["timestamp"],
            meter=payload["meterStart"],
            flags=flags,
            **common,
        )
    entries, unreadable = _entries(payload, body, spec, None)
    more: dict[str, Any] = {"entries": entries, "flags": flags, "unreadable": unreadable, **common}
    if action == "StopTransaction":
        return Plan(
            event="stop16",
            transaction=payload["transactionId"],
            event_time=payload["timestamp"],
            meter=payload["meterStop"],
            **more,
        )
    connector = _connector(body.get("connectorId") if spec.version == "1.6" else body.get("evseId"))
    if connector == 0 and "transactionId" not in body:
        more["entries"] = ()  # the charger's main meter, no car's
    return Plan(transaction=payload.get("transactionId"), connector=connector, **more)


def _event(payload: Any, body: Any, spec: OcppSpec, common: dict[str, Any], flags: tuple[str, ...]) -> Plan:
    info, token, evse = payload["transactionInfo"], payload.get("idToken"), body.get("evse")
    entries, unreadable = _entries(payload, body, spec, _state(body["transactionInfo"]))
    return Plan(
        event=body["eventType"],
        transaction=info["transactionId"],
        token=token.get("idToken") if isinstance(token, dict) else None,
        connector=_connector(evse.get("id")) if isinstance(evse, dict) else None,
        event_time=payload["timestamp"],
        entries=entries,
        flags=flags,
        unreadable=unreadable,
        **common,
    )


def _state(info: dict[str, Any]) -> str | None:
    """State where the power says nothing: at rest when suspended or idle, charging in charging-only mode."""
    charging, mode = info.get("chargingState"), info.get("operationMode")
    if charging in _RESTING or mode == "Idle":
        return "rest"
    return "charge" if charging == "Charging" and mode == "ChargingOnly" else None


def _connector(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _frame(record: Any, spec: OcppSpec) -> tuple[list[Any] | None, dict[str, Any]]:
    """The OCPP frame of a record, and the logger's object around it (empty without one)."""
    if isinstance(record, list):
        return (record if _is_frame(record) else None), {}
    if not isinstance(record, dict):
        return None, {}
    for key in (spec.message_key,) if spec.message_key else schema.MESSAGE_KEYS:
        inner = record.get(key)
        if isinstance(inner, str):
            try:
                inner = parse(inner)
            except ValueError:
                continue
        if isinstance(inner, list) and _is_frame(inner):
            return inner, record
        if isinstance(inner, dict):
            action = _first(record, schema.ACTION_KEYS)
            number = _TYPES.get(str(_first(record, schema.TYPE_KEYS) or "2").lower())
            message_id = _first(record, schema.ID_KEYS)
            if number == 3 or number == 4:
                return [number, message_id, inner], record
            if number == 2 and isinstance(action, str):
                return [2, message_id, action, inner], record
    return None, record


def _is_frame(frame: list[Any]) -> bool:
    least = {2: 4, 3: 3, 4: 4, 5: 4, 6: 4}
    kind = frame[0] if frame else None
    return isinstance(kind, int) and not isinstance(kind, bool) and len(frame) >= least.get(kind, 99)


def _first(record: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _entries(payload: Any, body: Any, spec: OcppSpec, state: str | None) -> tuple[tuple[Entry, ...], bool]:
    name = "transactionData" if "transactionData" in body else "meterValue"
    entries: list[Entry] = []
    unreadable = False
    for values, plain in zip(payload.get(name) or (), body.get(name) or (), strict=True):
        picked = _Picked()
        for value, said in zip(values["sampledValue"], plain["sampledValue"], strict=True):
            _pick(picked, value, said)
        terms = _terms(picked, spec)
        unreadable |= "unreadable_value" in picked.flags
        if terms:
            mine = None if "power_kw" in terms else state
            flags = tuple(sorted(picked.flags))
            entries.append(Entry(values["timestamp"], terms, mine, flags, picked.aligned))
    return tuple(entries), unreadable


def _pick(picked: _Picked, value: dict[str, Any], said: dict[str, Any]) -> None:
    if said.get("format") == "SignedData":
        return
    measurand = said.get("measurand", "Energy.Active.Import.Register")
    context = said.get("context", "Sample.Periodic")
    if context.startswith("Interruption"):
        picked.flags.add("interruption")
    known = _MEASURANDS.get(measurand)
    if known is None:
        return
    _, _, units, default = known
    measure = said.get("unitOfMeasure", {})
    unit = measure.get("unit") if measure else said.get("unit")
    if unit is None or (measure and unit == "Wh" and units is not _ENERGY):
        power = default
    elif str(unit).upper() in units:
        power = units[str(unit).upper()]
    else:
        picked.flags.add("unknown_unit")
        return
    if schema.reading(said["value"]) is None:
        picked.flags.add("unreadable_value")
        return
    multiplier = measure.get("multiplier", 0)
    if abs(multiplier) > 12:
        picked.flags.add("unreadable_value")
        return
    place, old = (measurand, said.get("location", "Outlet")), context.endswith(".Begin")
    if picked.of_begin.setdefault(place, old) != old:
        picked.flags.add("begin_repeated")
        if old:
            return
        picked.values[place], picked.of_begin[place] = {}, False
    picked.aligned |= context == "Sample.Clock"
    by_phase = picked.values.setdefault(place, {})
    by_phase[said.get("phase")] = (value["value"], power + int(multiplier))


def _terms(picked: _Picked, spec: OcppSpec) -> dict[str, tuple[tuple[Any, int, int], ...]]:
    terms: dict[str, tuple[tuple[Any, int, int], ...]] = {}
    for measurand, (column, sign, _, _) in _MEASURANDS.items():
        if column in ("voltage_v", "current_a"):
            places: tuple[str, ...] = ("EV", "Outlet") if spec.outlet == "dc" else ("EV",)
        elif column == "soc_frac":
            places = ("EV", "Outlet", "Inlet", "Body", "Cable")
        else:
            places = ("Outlet", "Inlet")
        for place in places:
            by_phase = picked.values.get((measurand, place))
            found = None if by_phase is None else _total(by_phase, summed=column not in ("voltage_v", "current_a"))
            if found:
                # Import and export make one signed value; of two measurands of the state of charge the first counts.
                before = () if column == "soc_frac" and column in terms else terms.get(column, ())
                if column != "soc_frac" or column not in terms:
                    terms[column] = (*before, *((value, power, sign) for value, power in found))
                break
    return terms


def _total(by_phase: dict[str | None, tuple[Any, int]], summed: bool) -> list[tuple[Any, int]]:
    """The value without phase, else those of the phases, to be summed."""
    if None in by_phase:
        return [by_phase[None]]
    if not summed:
        return []
    for phases in _PHASES:
        found = [by_phase[phase] for phase in phases if phase in by_phase]
        if found:
            return found
    return []


def content_of(record: Any, spec: OcppSpec) -> int:
    """Hash of the OCPP frame of a record, whatever the logger wrote around it."""
    frame, _ = _frame(record, spec)
    if frame is None:
        return 0
    text = json.dumps(frame, ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def parse(text: str) -> Any:
    """A record as JSON. Raises `ValueError` when it is none (or holds NaN, Infinity, or is nested too deep)."""
    depth = deepest = 0
    for char in text:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    if deepest > MAX_NESTING:
        raise ValueError(f"it is nested deeper than {MAX_NESTING}")
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(name)
