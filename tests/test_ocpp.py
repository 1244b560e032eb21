"""OCPP logs: round trips through the package's own classes, the rules of readings and sessions, shapes of logs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.v16 import datatypes as types16
from ocpp.v21 import call as call21
from ocpp.v21 import datatypes as types21

from tests.ocpp_messages import (
    BEGUN,
    V16,
    V21,
    V201,
    answer16,
    event,
    frame,
    iso,
    meter16,
    sampled16,
    start16,
    stop16,
    taken,
    taken_bytes,
    value,
)
from warehouse.formatspec import FormatSpec

numbers = st.floats(0, 9e4, allow_nan=False).map(lambda x: round(x, 3))


@settings(max_examples=60, deadline=None)
@given(
    readings=st.lists(st.tuples(numbers, numbers, st.floats(0, 100), st.booleans()), min_size=1, max_size=6),
    kilo=st.booleans(),
    wrapped=st.booleans(),
    fast=st.booleans(),
)
def test_transaction_events_come_back_as_the_numbers_they_were(
    readings: list[tuple[float, float, float, bool]], kilo: bool, wrapped: bool, fast: bool
) -> None:
    register, messages, expected = 1e5, [], []
    for seq, (energy, power, soc, export) in enumerate(readings):
        register += energy
        power /= 10
        direction = "Power.Active.Export" if export else "Power.Active.Import"
        values = [
            value(register / 1000 if kilo else register, "Energy.Active.Import.Register", "kWh" if kilo else "Wh"),
            value(power, direction, "W"),
            value(soc, "SoC", location="EV"),
        ]
        kind = "Started" if seq == 0 else "Updated"
        messages.append(event(kind, seq, seq, values))
        expected.append((register / 1000, (-power if export else power) / 1000, soc / 100))
    messages.append(event("Ended", len(readings), len(readings), []))
    if wrapped:
        messages = [{"timestamp": iso(1e4), "stationId": "CP1", "message": m} for m in messages]
    got = taken(messages, V201, fast=fast)
    rows = got["samples"].select("energy_in_register_kwh", "power_kw", "soc_frac").rows()
    assert rows == expected
    session = got["sessions"].row(0, named=True)
    energy = None if len(readings) < 2 else pytest.approx(expected[-1][0] - expected[0][0], abs=1e-6)
    assert session["energy_in_meter_kwh"] == energy
    assert (session["kind"], session["logger"], session["session_ref"]) == ("plugin", "charger", "tx-1")
    assert session["end_utc"] == (BEGUN + timedelta(minutes=len(readings))).replace(tzinfo=None)
    assert set(got["samples"]["vehicle_id"]) == {"CP1"}


def test_a_bidirectional_transaction_has_both_energies() -> None:
    registers = [(1000.0, 500.0), (3000.0, 500.0), (3000.0, 2500.0)]
    messages = [
        event(kind, i, i, [value(a, "Energy.Active.Import.Register"), value(b, "Energy.Active.Export.Register")])
        for i, (kind, (a, b)) in enumerate(zip(("Started", "Updated", "Ended"), registers, strict=True))
    ]
    session = taken(messages, V201)["sessions"].row(0, named=True)
    assert (session["energy_in_meter_kwh"], session["energy_out_meter_kwh"]) == (2.0, 2.0)
    assert session["flags"] == []


def test_multipliers_phases_and_locations() -> None:
    def one(*values: Any, spec: FormatSpec = V201) -> dict[str, Any]:
        return taken([event("Updated", 0, 1, list(values))], spec)["samples"].row(0, named=True)

    assert one(value(12.5, "Power.Active.Import", "W", 2))["power_kw"] == 1.25
    assert one(value(12.5, "Energy.Active.Import.Register", "Wh", 6))["energy_in_register_kwh"] == 12_500.0
    by_phase = [value(1000.0 + i, "Power.Active.Import", "W", phase=f"L{i}") for i in (1, 2, 3)]
    assert one(*by_phase)["power_kw"] == pytest.approx(3.006)
    assert one(*by_phase, value(3.0, "Power.Active.Import", "kW"))["power_kw"] == 3.0
    both = (value(4.0, "Power.Active.Import", "kW"), value(1.5, "Power.Active.Export", "kW"))
    assert one(*both)["power_kw"] == 2.5
    inlet = value(9.0, "Power.Active.Import", "kW", location="Inlet")
    assert one(inlet)["power_kw"] == 9.0
    assert one(inlet, value(8.5, "Power.Active.Import", "kW"))["power_kw"] == 8.5
    pack = (value(400.0, "Voltage", "V", location="EV"), value(20.0, "Current.Export", "A", location="EV"))
    row = one(*pack, value(230.0, "Voltage", "V"), value(10.0, "Current.Import", "A"))
    assert (row["voltage_v"], row["current_a"]) == (400.0, -20.0)
    ac = (value(230.0, "Voltage", "V"), value(50.0, "SoC"))
    assert one(*ac)["voltage_v"] is None
    assert V201.ocpp is not None
    dc = V201.model_copy(update={"ocpp": V201.ocpp.model_copy(update={"outlet": "dc"})})
    assert one(*ac, spec=dc)["voltage_v"] == 230.0


def test_state_only_where_no_power_is_given() -> None:
    info = types21.TransactionType(transaction_id="t", charging_state="Charging", operation_mode="ChargingOnly")

    def one(values: list[Any], info: Any) -> Any:
        made = call21.TransactionEvent(
            event_type="Updated", timestamp=iso(0), trigger_reason="OperationModeChanged", seq_no=3,
            transaction_info=info, meter_value=[types21.MeterValueType(timestamp=iso(0), sampled_value=values)],
        )  # fmt: skip
        return taken([frame("TransactionEvent", made, "a")], V21)["samples"].row(0, named=True)

    soc = {"value": 61.0, "measurand": "Display.PresentSOC"}
    assert one([soc], info)["state"] == "charge" and one([soc], info)["soc_frac"] == 0.61
    assert one([soc, {"value": -2000.0, "measurand": "Power.Active.Import"}], info)["state"] is None
    idle = types21.TransactionType(transaction_id="t", charging_state="Charging", operation_mode="Idle")
    assert one([soc], idle)["state"] == "rest"
    central = types21.TransactionType(transaction_id="t", charging_state="Charging", operation_mode="CentralSetpoint")
    assert one([soc], central)["state"] is None


@pytest.mark.parametrize("answered", [True, False])
def test_transactions_of_1_6(answered: bool) -> None:
    data = [
        asdict(types16.MeterValue(timestamp=iso(30), sampled_value=[sampled16(80, measurand="SoC", unit="Percent")]))
    ]
    messages = [
        start16(0, 10_000),
        *([answer16()] if answered else []),
        meter16(10, 7, [sampled16(11_000), sampled16(6.6, measurand="Power.Active.Import", unit="kW")]),
        stop16(30, 13_000, data=data),
    ]
    got = taken(messages, V16)
    assert got["samples"].select("energy_in_register_kwh", "power_kw", "soc_frac", "session_ref").rows() == [
        (11.0, 6.6, None, "7"),
        (None, None, 0.8, "7"),
    ]
    session = got["sessions"].row(0, named=True)
    assert (session["session_ref"], session["energy_in_meter_kwh"]) == ("7", 3.0)
    assert session["start_utc"] == BEGUN.replace(tzinfo=None)
    assert session["flags"] == ([] if answered else ["start_joined_by_order"])


def test_connectors_and_owners() -> None:
    reading = [sampled16(5_000)]
    got = taken([meter16(0, None, reading, connector=c) for c in (0, 1, 2)], V16)
    assert got["samples"]["vehicle_id"].to_list() == ["CP1", "CP1/2"]
    assert V16.ocpp is not None
    by_token = V16.model_copy(update={"ocpp": V16.ocpp.model_copy(update={"owner": "token"})})
    got = taken([start16(0, 1), answer16(), meter16(5, 7, reading), meter16(6, None, reading)], by_token)
    assert got["samples"]["vehicle_id"].to_list() == ["CARD77"]
    assert got["rejects"].select("line", "reason").rows() == [(4, "missing_owner")]


def test_the_station_of_bare_frames_comes_from_the_format_or_the_files_name() -> None:
    messages = [event("Started", 0, 0, [value(1.0, "SoC")])]
    assert taken(messages, V201, name="garage-3_2025-03.jsonl.gz")["samples"]["vehicle_id"].to_list() == ["garage-3"]
    assert V201.ocpp is not None
    fixed = V201.model_copy(update={"ocpp": V201.ocpp.model_copy(update={"station": "home"})})
    assert taken(messages, fixed)["samples"]["vehicle_id"].to_list() == ["home"]
    nowhere = V201.model_copy(update={"ocpp": V201.ocpp.model_copy(update={"station_in_name": "(cp[0-9]+)"})})
    assert taken(messages, nowhere, name="log")["rejects"]["reason"].to_list() == ["missing_owner"]


def test_all_shapes_of_a_log_give_the_same_rows() -> None:
    frames = [event(k, i, i, [value(50.0 + i, "SoC"), value(2e3, "Power.Active.Import")])
              for i, k in enumerate(("Started", "Updated", "Ended"))]  # fmt: skip
    frames += [[3, "id-0-0", {}]]
    wrapped = [{"time": iso(100), "chargePointId": "CP1", "message": f} for f in frames]
    as_text = [{"time": iso(100), "chargePointId": "CP1", "message": json.dumps(f)} for f in frames]
    apart = [
        {"stationId": "CP1", "messageTypeId": f[0], "messageId": f[1], "action": f[2], "payload": f[3]}
        if f[0] == 2
        else {"stationId": "CP1", "messageTypeId": 3, "messageId": f[1], "payload": f[2]}
        for f in frames
    ]
    logs = [b"\n".join(json.dumps(m).encode() for m in form) for form in (frames, wrapped, as_text, apart)]
    logs += [json.dumps(form, indent=indent).encode() for form in (frames, wrapped) for indent in (None, 1)]
    logs.append(b"\xef\xbb\xbf" + logs[0].replace(b"\n", b"\r\n\r\n"))
    wanted = taken_bytes(logs[0], V201)
    assert wanted["samples"].height == 3 and wanted["sessions"].height == 1
    for log in logs[1:]:
        for fast in (True, False):
            got = taken_bytes(log, V201, fast=fast)
            for kind in ("samples", "sessions"):
                drop = ["line", "flag"]
                assert got[kind].drop(drop, strict=False).equals(wanted[kind].drop(drop, strict=False)), log[:80]
