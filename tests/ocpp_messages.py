"""OCPP messages for tests, made with the `ocpp` package's own classes, and logs of them read by the reader."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from ocpp.charge_point import remove_nones, serialize_as_dict, snake_to_camel_case
from ocpp.v16 import call as call16
from ocpp.v16 import datatypes as types16
from ocpp.v201 import call as call201
from ocpp.v201 import datatypes as types201

from warehouse.formatspec import FormatSpec, load_format
from warehouse.raw import RAW_SCHEMAS
from warehouse.readers.ocpp import read_bytes
from warehouse.readers.ocpp_records import MessageCounter

BEGUN = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)
V201, V21, V16 = (load_format(name) for name in ("ocpp_201", "ocpp_21", "ocpp_16"))


def frame(action: str, payload: Any, unique: str) -> list[Any]:
    """A frame as the package sends it."""
    return [2, unique, action, remove_nones(snake_to_camel_case(serialize_as_dict(payload)))]


def iso(minute: float) -> str:
    """Time of a minute."""
    return (BEGUN + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def taken(messages: list[Any], spec: FormatSpec, name: str = "CP1_log.jsonl", fast: bool = True) -> dict[str, Any]:
    """Samples, sessions, rejects, and the lines of each kind of a log; every line is somewhere."""
    lines = [m if isinstance(m, bytes) else json.dumps(m, ensure_ascii=False).encode() for m in messages]
    return taken_bytes(b"\n".join(lines), spec, name, fast)


def taken_bytes(data: bytes, spec: FormatSpec, name: str = "CP1_log.jsonl", fast: bool = True) -> dict[str, Any]:
    """The same of bytes."""
    batches = read_bytes(data, spec, name, fast=fast)
    out: dict[str, Any] = {}
    for kind in ("samples", "sessions"):
        frames = [b.rows[kind] for b in batches if kind in b.rows]
        out[kind] = pl.concat(frames) if frames else pl.DataFrame(schema=RAW_SCHEMAS[kind])
        assert out[kind].schema == RAW_SCHEMAS[kind]
    out["rejects"] = pl.concat([b.rejects for b in batches]) if batches else pl.DataFrame({"line": []})
    rows = {int(line) for kind in ("samples", "sessions") for line in out[kind]["line"]}
    refused, silent = out["rejects"]["line"].to_list(), [x for b in batches for x in b.silent.to_list()]
    everything = [*rows, *refused, *silent]
    assert len(everything) == len(set(everything)), "a line stands in two places"
    assert len(everything) == counted(data)
    return out


def counted(data: bytes, block: int = 7) -> int:
    """Messages by the counter, fed in small blocks."""
    counter = MessageCounter()
    for at in range(0, len(data), block):
        counter.feed(data[at : at + block])
    return counter.total()


def event(kind: str, minute: float, seq: int, values: list[dict[str, Any]], **more: Any) -> list[Any]:
    """A TransactionEvent of 2.0.1, made with the package."""
    info = {"transaction_id": more.pop("transaction", "tx-1"), "charging_state": more.pop("charging", None)}
    payload = call201.TransactionEvent(
        event_type=kind,
        timestamp=iso(minute),
        trigger_reason="MeterValuePeriodic",
        seq_no=seq,
        transaction_info=types201.TransactionType(**info),
        meter_value=[types201.MeterValueType(timestamp=iso(minute), sampled_value=values)] if values else None,
        **more,
    )
    return frame("TransactionEvent", payload, f"id-{seq}-{minute}")


def value(number: float, measurand: str, unit: str | None = None, multiplier: int | None = None, **more: Any) -> Any:
    """A sampled value of 2.0.1."""
    measure = None if unit is None else types201.UnitOfMeasureType(unit=unit, multiplier=multiplier)
    made = types201.SampledValueType(value=number, measurand=measurand, unit_of_measure=measure, **more)
    return asdict(made)


def start16(minute: float, meter: int, unique: str = "s1", connector: int = 1) -> list[Any]:
    payload = call16.StartTransaction(connector_id=connector, id_tag="CARD77", meter_start=meter, timestamp=iso(minute))
    return frame("StartTransaction", payload, unique)


def stop16(minute: float, meter: int, number: int = 7, data: list[Any] | None = None) -> list[Any]:
    payload = call16.StopTransaction(
        meter_stop=meter, timestamp=iso(minute), transaction_id=number, transaction_data=data
    )
    return frame("StopTransaction", payload, f"e{minute}")


def meter16(minute: float, number: int | None, values: list[Any], connector: int = 1) -> list[Any]:
    value16 = types16.MeterValue(timestamp=iso(minute), sampled_value=values)
    payload = call16.MeterValues(connector_id=connector, transaction_id=number, meter_value=[asdict(value16)])
    return frame("MeterValues", payload, f"m{minute}")


def sampled16(number: float, **more: Any) -> Any:
    return asdict(types16.SampledValue(value=str(number), **more))


def answer16(number: int = 7, unique: str = "s1") -> list[Any]:
    return [3, unique, {"transactionId": number, "idTagInfo": {"status": "Accepted"}}]
