"""Known defects of chargers' logs, each with its thread; damage and hostile input; the two paths against each other."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ocpp_messages import (
    V16,
    V201,
    answer16,
    event,
    iso,
    meter16,
    sampled16,
    start16,
    stop16,
    taken,
    taken_bytes,
    value,
)
from warehouse.readers.batch import MAX_RAW_TEXT
from warehouse.readers.ocpp_records import read_blocks
from warehouse.readers.ocpp_values import parse_time

SOC = [value(50.0, "SoC")]


def reasons(got: dict[str, Any]) -> list[str]:
    """Reasons of refused messages in the order of the log."""
    return got["rejects"].sort("line")["reason"].to_list()


def with_time(message: list[Any], text: str) -> list[Any]:
    """A TransactionEvent with all its times replaced."""
    return json.loads(json.dumps(message).replace(message[3]["timestamp"], text))


def test_clocks_before_boot_notification_are_refused() -> None:
    # MicroOcpp PR#354: events of 1970 are sent before the clock is set.
    messages = [with_time(event("Started", 0, 0, SOC), "1970-01-01T00:00:09Z"), event("Updated", 1, 1, SOC)]
    got = taken([*messages, event("Ended", 2, 2, [])], V201)
    assert reasons(got) == ["impossible_time"]
    assert got["sessions"]["flags"].to_list() == [["start_missing"]]


def test_fractions_and_offsets_of_times() -> None:
    # mikuso/ocpp-rpc#42: fractional seconds of any number of digits.
    clocks = ("18:00:01.1Z", "18:00:01.123456789Z", "19:00:01+01:00", "18:00Z")
    texts = [f"2025-03-01T{clock}" for clock in clocks]
    messages = [with_time(event("Updated", i, i, SOC), text) for i, text in enumerate(texts)]
    got = taken(messages, V201)["samples"]["time_utc"].dt.strftime("%H:%M:%S%.f").to_list()
    assert got == ["18:00:01.100", "18:00:01.123456", "18:00:01", "18:00:00"]
    assert reasons(taken([with_time(event("Updated", 0, 0, SOC), "yesterday")], V201)) == ["bad_time"]


def test_late_bursts_keep_their_own_times() -> None:
    # lbbrhzn/ocpp#1767: two samples a minute apart arrive within a second, hours later.
    logged = [{"ts": iso(190 + i / 60), "cpId": "a", "message": event("Updated", i, i, SOC)} for i in (0, 1)]
    rows = taken(logged, V201)["samples"]
    assert rows["flag"].to_list() == ["late_backfill"] * 2
    assert (rows["time_utc"][1] - rows["time_utc"][0]).total_seconds() == 60
    ahead = {"ts": iso(0), "cpId": "a", "message": event("Updated", 3000, 1, SOC)}
    assert reasons(taken([ahead], V201)) == ["impossible_time"]


@pytest.mark.parametrize("number", [9223372036854775807, -1, 0])
def test_sentinel_ids_name_no_session(number: int) -> None:
    got = taken([meter16(1, number, [sampled16(5000)]), stop16(3, 6000, number)], V16)  # lbbrhzn/ocpp#45
    assert got["samples"].select("session_ref", "flag").rows() == [(None, "sentinel_id")]
    assert got["sessions"].height == 0


def test_negative_durations_leave_the_end_open() -> None:
    session = taken([start16(30, 1000), answer16(), stop16(10, 2000)], V16)["sessions"].row(0, named=True)
    assert (session["end_utc"], session["flags"]) == (None, ["negative_duration"])  # lbbrhzn/ocpp#45


@pytest.mark.parametrize(
    ("between", "stop", "energy", "flag"),
    [
        ([0, 500, 6_000], 106_100, 6.1, "register_per_session"),  # lbbrhzn/ocpp#919: ABB Terra AC
        ([0, 500, 6_000], 6_000, 6.0, "register_per_session"),  # start of the life, stop of the session
        ([0, 500, 6_000], 140_000, None, "register_mixed"),  # says 6 kWh and 40 kWh
        ([4_000, 8_000], 104_000, None, "register_mixed"),  # carried over from the session before
        ([0, 500, 6_000, 100], 100, None, "register_mixed"),
        ([100_000, 103_000], 106_100, 6.1, None),
        ([99_900], 100_400, 0.4, None),  # a reading from just before the start
        ([99_100, 99_100, 101_100], 101_700, 1.7, None),  # shows whole kWh only
        ([0, 0], 106_100, 6.1, "register_dropout"),  # lbbrhzn/ocpp#374
        ([100_500, 0, 1_000], 2_000, 2.5, "register_reset"),
    ],
)
def test_registers_of_the_session_beside_a_lifetime_start(
    between: list[float], stop: int, energy: float | None, flag: str | None
) -> None:
    readings = [meter16(i + 1, 7, [sampled16(wh)]) for i, wh in enumerate(between)]
    session = taken([start16(0, 100_000), answer16(), *readings, stop16(30, stop)], V16)["sessions"].row(0, named=True)
    assert session["energy_in_meter_kwh"] == (None if energy is None else pytest.approx(energy))
    assert session["flags"] == ([flag] if flag else [])


@pytest.mark.parametrize(
    ("stop", "energy", "flag"),
    [
        (8_100, 6.1, "register_per_session"),  # start and stop of a young meter, the readings of the session
        (6_000, 6.0, "register_reset"),  # the meter itself began anew
    ],
)
def test_a_new_meter_whose_life_is_shorter_than_the_session(stop: int, energy: float, flag: str) -> None:
    # lbbrhzn/ocpp#919 after the meter was changed: what it had counted is less than the session takes.
    readings = [meter16(i + 1, 7, [sampled16(wh)]) for i, wh in enumerate((0, 500, 3_000, 6_000))]
    session = taken([start16(0, 2_000), answer16(), *readings, stop16(30, stop)], V16)["sessions"].row(0, named=True)
    assert (session["energy_in_meter_kwh"], session["flags"]) == (pytest.approx(energy), [flag])


def test_a_session_that_counts_from_zero_and_is_never_stopped() -> None:
    readings = [meter16(i + 1, 7, [sampled16(wh)]) for i, wh in enumerate((0, 900, 2_500))]
    session = taken([start16(0, 100_000), answer16(), *readings], V16)["sessions"].row(0, named=True)
    assert (session["energy_in_meter_kwh"], session["flags"]) == (2.5, ["open", "register_per_session"])


@pytest.mark.parametrize("begin_last", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_a_register_of_the_beginning_in_every_message_is_passed_over(begin_last: bool, fast: bool) -> None:
    # evcc-io/evcc#33256, lbbrhzn/ocpp#1466: Growatt THOR; the reading of the begin stands last and hides that of now.
    def both(minute: int, wh: int) -> list[Any]:
        two = [sampled16(wh, context="Sample.Periodic"), sampled16(235_800, context="Transaction.Begin")]
        return meter16(minute, 7, two if begin_last else two[::-1])

    messages = [start16(0, 235_800), answer16(), *(both(k + 1, 235_800 + 400 * k) for k in range(12))]
    got = taken([*messages, stop16(30, 241_000)], V16, fast=fast)
    assert got["samples"]["energy_in_register_kwh"].to_list() == pytest.approx([235.8 + 0.4 * k for k in range(12)])
    assert set(got["samples"]["flag"]) == {"begin_repeated"}
    session = got["sessions"].row(0, named=True)
    assert (session["energy_in_meter_kwh"], session["flags"]) == (pytest.approx(5.2), [])
    # Alone it is the reading of its time; and without a phase it hides no reading by phases.
    alone = taken([meter16(1, 7, [sampled16(235_800, context="Transaction.Begin")])], V16, fast=fast)["samples"]
    assert alone.select("energy_in_register_kwh", "flag").rows() == [(235.8, None)]
    phases = [sampled16(100, context="Sample.Periodic", phase=p) for p in ("L1", "L2", "L3")]
    got = taken([meter16(1, 7, [*phases, sampled16(0, context="Transaction.Begin")])], V16, fast=fast)["samples"]
    assert got["energy_in_register_kwh"].to_list() == pytest.approx([0.3])


def registers(values: list[float]) -> dict[str, Any]:
    """Session of a transaction whose register shows these Wh."""
    last = len(values) - 1
    messages = [
        event(kind, i, i, [value(v, "Energy.Active.Import.Register")])
        for i, (kind, v) in enumerate(zip(["Started", *["Updated"] * (last - 1), "Ended"], values, strict=True))
    ]
    return taken(messages, V201)["sessions"].row(0, named=True)


def test_registers_that_drop_out_or_start_anew() -> None:
    dropped = registers([10_000, 12_000, 0, 0, 13_000])  # lbbrhzn/ocpp#374
    assert (dropped["energy_in_meter_kwh"], dropped["flags"]) == (3.0, ["register_dropout"])
    reset = registers([10_000, 12_000, 0, 1_500, 2_000])  # evcc-io/evcc#4997
    assert (reset["energy_in_meter_kwh"], reset["flags"]) == (4.0, ["register_reset"])
    # gndean/home-assistant-hypervolt-charger#5: the counter of the session before is carried until it resets.
    carried = registers([9_000, 0, 200, 5_000])
    assert (carried["energy_in_meter_kwh"], carried["flags"]) == (5.0, ["register_reset"])
    lifetime, of_session = registers([1e6, 1.004e6]), registers([0, 4_000])  # JoaoPedroBelo/bmw-wallbox-ha#10
    assert lifetime["energy_in_meter_kwh"] == of_session["energy_in_meter_kwh"] == 4.0


def test_intervals_are_summed_inside_their_transaction_only() -> None:
    messages = [event("Updated", i, i, [value(250.0, "Energy.Active.Import.Interval", "Wh")]) for i in range(4)]
    got = taken([event("Started", 0, 9, []), *messages, event("Ended", 5, 10, [])], V201)
    session = got["sessions"].row(0, named=True)
    assert (session["energy_in_meter_kwh"], session["flags"]) == (1.0, ["interval_summed"])
    assert got["samples"].height == 0


def test_messages_sent_again_count_once() -> None:
    sent = [event("Started", 0, 0, SOC), event("Updated", 1, 1, [value(9.0, "Energy.Active.Import.Interval", "kWh")])]
    both = event("Updated", 2, 2, SOC)
    got = taken([*sent, both, sent[1], both, event("Ended", 3, 3, [])], V201)
    assert got["sessions"]["energy_in_meter_kwh"].to_list() == [9.0]
    rows = got["samples"].filter(got["samples"]["line"].is_in([3, 5])).drop("line")
    assert rows.height == 2 and rows[0].equals(rows[1])  # the intake counts the second as a duplicate


def test_order_and_missing_ends() -> None:
    order = ((2, "Updated"), (0, "Started"), (3, "Ended"), (1, "Updated"))
    mixed = [event(kind, i, i, SOC) for i, kind in order]
    session = taken(mixed, V201)["sessions"].row(0, named=True)
    assert session["flags"] == [] and (session["end_utc"] - session["start_utc"]).total_seconds() == 180
    left = taken([event("Started", 0, 0, SOC), event("Updated", 1, 1, SOC)], V201)["sessions"].row(0, named=True)
    assert (left["end_utc"], left["flags"]) == (None, ["open"])


def test_free_running_clock_values_and_interruptions_are_flagged() -> None:
    def flag(minute: float, context: str) -> Any:
        return taken([event("Updated", minute, 1, [value(5.0, "SoC", context=context)])], V201)["samples"]["flag"][0]

    assert flag(15, "Sample.Clock") is None
    assert flag(15.2, "Sample.Clock") == "unaligned_clock"  # EVerest/libocpp#445
    assert flag(15.2, "Sample.Periodic") is None
    assert flag(15, "Interruption.Begin") == "interruption"


def test_readings_of_one_time_in_several_messages_are_one_row() -> None:
    got = taken([event("Updated", 1, 1, SOC), event("Updated", 1, 2, [value(2.0, "Power.Active.Import", "kW")])], V201)
    assert got["samples"].select("soc_frac", "power_kw", "line").rows() == [(0.5, 2.0, 1)]


def test_messages_against_the_schema_are_refused_with_the_key() -> None:
    good = event("Updated", 1, 1, SOC)
    wrong = json.loads(json.dumps(good))
    wrong[3]["meterValue"][0]["sampledValue"][0]["measurand"] = "Magic"
    missing = json.loads(json.dumps(good))
    del missing[3]["seqNo"]
    vendor = json.loads(json.dumps(good))
    vendor[3]["x_vin"] = "WBY1Z21040V307900"
    text = json.loads(json.dumps(good))
    text[3]["meterValue"][0]["sampledValue"][0]["value"] = "50.0"
    for fast in (True, False):
        details = taken([wrong, missing], V201, fast=fast)["rejects"].sort("line")["detail"].to_list()
        assert details[0] == "key 'meterValue[0].sampledValue[0].measurand' is none of the words of OCPP 2.0.1"
        assert details[1] == "key 'seqNo' is missing"
        for tolerated in (vendor, text):
            assert taken([tolerated], V201, fast=fast)["samples"].select("soc_frac", "flag").rows() == [
                (0.5, "vendor_fields")
            ]
    newer = json.loads(json.dumps(good))
    newer[3]["transactionInfo"]["operationMode"] = "Idle"
    newer[3]["triggerReason"] = "OperationModeChanged"
    assert "ocpp_21" in taken([newer], V201)["rejects"]["detail"][0]


def test_nothing_personal_stands_in_refused_text() -> None:
    token = {"idToken": "DEADBEEF77", "type": "ISO14443", "vin": "WBY1Z21040V307900", "name": 'Jané D"oe'}
    bad = [2, "a", "TransactionEvent", {"eventType": "Nope", "idToken": token, "phone": 491701234567}]
    # A maker's own position: numbers, also cut off, coarse, in a list, in quotes.
    bad[3]["customData"] = {"vendorId": "v", "lat": 47.53165, "lon": -7.125, "at": [47.53165, 7.12513], "n": "47.53165"}
    cut = json.dumps(bad).encode()[:-40]
    shown = " ".join(taken([bad, cut, cut[30:]], V201)["rejects"]["raw_text"].to_list())
    for secret in ("DEADBEEF", "WBY1", "Jan", "oe", "49170", "phone", "47.5", "7.125"):
        assert secret not in shown
    assert "TransactionEvent" in shown


HOSTILE = [
    b"[" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'[2,"a","MeterValues",{"connectorId":1,"meterValue":NaN}]',
    b'[2,"a","TransactionEvent",' + b"9" * 6_000 + b"]",
    b'[2,"a","TransactionEvent",{"eventType":1e999}]',
    b'[2,"\xff\xfe","Heartbeat",{}]',
    b'[2,"\\ud800","Heartbeat",{}]',
    b"[2]",
    b"[true]",
    b"null",
    b'"text"',
    b"{}",
    b"\x00\x01",
    b'[2,{"a":[1]},"MeterValues",null]',
    b'{"stationId":{"a":1},"message":[3,[],{}]}',
    b'[3,"a",{"transactionId":[],"idTagInfo":1}]',
]


def test_hostile_messages_are_refused_or_silent_and_the_others_stay() -> None:
    good = json.dumps(event("Updated", 1, 1, SOC)).encode()
    for spec in (V201, V16):
        for fast in (True, False):
            got = taken_bytes(b"\n".join([good, *HOSTILE]), spec, fast=fast)
            assert got["samples"].height == (1 if spec is V201 else 0)
            assert got["rejects"]["raw_text"].str.len_chars().max() <= MAX_RAW_TEXT
    huge = event("Updated", 1, 1, [value(1e300, "Power.Active.Import", "kW"), value(50.0, "SoC")])
    row = taken([huge], V201)["samples"].row(0, named=True)
    assert (row["power_kw"], row["soc_frac"], row["flag"]) == (None, 0.5, "impossible_value")


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
def test_endless_messages_are_cut_away_and_the_others_stay(listed: bool) -> None:
    good = [json.dumps(event("Updated", i, i, SOC)).encode() for i in range(4)]
    endless = b'[2,"a","Heartbeat",{"x":"' + b"y" * 3_500_000 + b'"}]'
    parts = [good[0], endless, good[1], good[2], endless, good[3]]
    data = b"[" + b",".join(parts) + b"]" if listed else b"\n".join(parts)
    got = taken_bytes(data, V201)
    assert got["samples"].height == 4 and reasons(got) == ["too_long", "too_long"]


@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=120) | st.text('[]{}",:\\\n 12ae', max_size=80).map(str.encode),
    block=st.integers(1, 40),
)
def test_blocks_and_counter_agree_on_any_bytes(data: bytes, block: int) -> None:
    from io import BytesIO

    from tests.ocpp_messages import counted
    from warehouse.readers.lines import EmptyFile

    total, lines = counted(data, block), []
    try:
        for found in read_blocks(BytesIO(data), block=block, longest=30):
            lines += [*found.line.tolist(), *found.too_long.tolist()]
    except EmptyFile:
        assert not data.removeprefix(b"\xef\xbb\xbf").strip() and total == 0
    assert len(lines) == len(set(lines)) == total


def _base() -> list[bytes]:
    frames = [event(k, i, i, [value(7.25 + i, "SoC"), value(1e3 * i, "Power.Active.Import", "W", phase="L1")])
              for i, k in enumerate(("Started", "Updated", "Updated", "Ended"))]  # fmt: skip
    wrapped = {"timestamp": iso(9), "stationId": "CP1", "message": event("Updated", 7, 9, SOC)}
    return [json.dumps(m).encode() for m in (*frames, wrapped)]


BASE = _base()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    changes=st.integers(0, 3),
    readings=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**25), 10**25), max_size=2),
)
def test_fast_and_slow_path_agree_on_changed_messages(seed: int, changes: int, readings: list[float]) -> None:
    rng = np.random.default_rng(seed)
    lines = []
    for line in BASE:
        for number in readings:
            line = line.replace(b"7.25", json.dumps(number).encode(), 1)
        text = bytearray(line)
        for _ in range(changes):
            at = int(rng.integers(len(text)))
            new = rng.choice(list(b'09.-eE"\\{}[],: tfnZ\xc3\x00'), 1)
            text[at : at + int(rng.integers(0, 3))] = bytes(new.tolist())
        lines.append(bytes(text))
    data = b"\n".join(lines)
    fast, slow = taken_bytes(data, V201), taken_bytes(data, V201, fast=False)
    for kind in ("samples", "sessions"):
        assert fast[kind].equals(slow[kind]), kind
    assert fast["rejects"].equals(slow["rejects"])


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789-:.TZ+ ", max_size=30) | st.datetimes().map(lambda t: t.isoformat() + "Z"))
def test_times_of_both_paths_agree(text: str) -> None:
    from warehouse.readers.ocpp_numbers import NO_TIME, time_at

    data = np.frombuffer(text.encode() + b"\x00" * 8, dtype=np.uint8)
    quick = int(time_at(data, 0, len(text)))
    assert quick in (NO_TIME, parse_time(text))


def test_the_first_reading_may_be_of_no_session() -> None:
    values = [sampled16(50.0, measurand="SoC", unit="Percent")]
    got = taken([meter16(0, None, values), meter16(1, 7, values)], V16)
    assert got["samples"]["session_ref"].to_list() == [None, "7"]
