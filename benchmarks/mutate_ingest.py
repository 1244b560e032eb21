"""Damaged logs of every packaged format: no traceback, every record accounted for, nothing half-written.

Samples of each format (those of ``tests/data`` and made ones) are damaged by operations on bytes, lines and fields,
drawn by a seeded generator for one half and by hypothesis for the other. Each file is taken in alone; then the
ledger has to add up, and the folder of raw parts has to hold what the ledger names and nothing else.
Run: ``python benchmarks/mutate_ingest.py --n 10000 [--keep FOLDER]``. Prints JSON; exit 1 when a file fails.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipelines.settings import prepare_environment

prepare_environment()

import hypothesis  # noqa: E402
import polars as pl  # noqa: E402
import pyarrow as pa  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from warehouse import intake  # noqa: E402
from warehouse.checks import run_checks  # noqa: E402
from warehouse.formatspec import FormatSpec, load_format  # noqa: E402
from warehouse.keys import write_demo_key  # noqa: E402
from warehouse.store import open_warehouse  # noqa: E402

DATA = Path(__file__).parents[1] / "tests" / "data"
IN_DATA = {
    "leaf_spy": "leaf_spy_*.csv", "indra_v2h": "indra_v2h*", "bdf": "bdf_*.csv", "bmw_i3_10hz": "bmw_i3_10hz_*.csv",
    "konstanz_cumulative": "konstanz_cumulative.csv",
}  # fmt: skip
HOME_FILES = 100  # files a home takes before it is checked as a whole and a new one is begun
_START = datetime(2024, 5, 1, 10)
_JUNK = (
    b"", b",", b";", b'"', b"\x00", b"\xff\xfe", b"nan", b"inf", b"-1e308", b"1e999", b"9999-12-31T23:59:59Z", b"{",
    b"1969-12-31T00:00:00Z", b"[[[[", b"null", b"\r", b"\n", b"\xc3\x28", b"'); DROP TABLE meta_file; --", b"PAR1",
    "٣".encode(), b"1,5", b"00:00", b"\xef\xbb\xbf", b"-" * 50, b"2024-02-30T25:61:61Z", b"9" * 40, b"true",
)  # fmt: skip


def _rows(n: int, **columns: Callable[[int], Any]) -> pl.DataFrame:
    return pl.DataFrame({name: [make(i) for i in range(n)] for name, make in columns.items()})


def _iso(i: int, minutes: int = 60) -> str:
    return f"{_START + timedelta(minutes=minutes * i):%Y-%m-%dT%H:%M:%SZ}"


def _csv(frame: pl.DataFrame, separator: str = ",") -> bytes:
    return frame.write_csv(separator=separator).encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def _event(kind: str, seq: int, **more: Any) -> list[Any]:
    """An OCPP 2.x TransactionEvent."""
    value = {"value": 1000.0 + 50 * seq, "measurand": "Energy.Active.Import.Register", "unitOfMeasure": {"unit": "Wh"}}
    soc = {"value": 40 + seq, "measurand": "SoC", "location": "EV", "context": "Sample.Periodic"}
    payload = {
        "eventType": kind, "timestamp": _iso(seq, 15), "triggerReason": "MeterValuePeriodic", "seqNo": seq,
        "transactionInfo": {"transactionId": "tx-1", "chargingState": "Charging"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": "ABCDEF012345", "type": "ISO14443"},
        "meterValue": [{"timestamp": _iso(seq, 15), "sampledValue": [value, soc]}],
    }  # fmt: skip
    return [2, f"u{seq}", "TransactionEvent", payload | more]


def _ocpp2() -> list[tuple[str, bytes]]:
    kinds = ["Started", *["Updated"] * 6, "Ended"]
    frames: list[Any] = [_event(kind, seq) for seq, kind in enumerate(kinds)]
    frames.insert(3, [3, "u2", {}])
    frames.append([2, "h", "Heartbeat", {}])
    wrapped = [{"timestamp": _iso(i, 15), "stationId": "CP2", "message": f} for i, f in enumerate(frames)]
    return [
        ("CP1_log.jsonl", b"\n".join(json.dumps(f).encode() for f in frames)),
        ("CP2_log.jsonl", b"\n".join(json.dumps(f).encode() for f in wrapped)),
        ("CP1_array.json", json.dumps(frames).encode()),
    ]


def _ocpp16() -> list[tuple[str, bytes]]:
    token = "ABCDEF012345"  # noqa: S105 - a made-up card
    begin = {"connectorId": 1, "idTag": token, "meterStart": 1000, "timestamp": _iso(0, 15)}
    frames: list[Any] = [
        [2, "a", "StartTransaction", begin],
        [3, "a", {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}],
    ]
    for i in range(6):
        value = {"value": str(1000 + 100 * i), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
        power = {"value": "3600", "measurand": "Power.Active.Import", "unit": "W"}
        meter = [{"timestamp": _iso(i, 15), "sampledValue": [value, power]}]
        frames.append([2, f"m{i}", "MeterValues", {"connectorId": 1, "transactionId": 7, "meterValue": meter}])
    stop = {"transactionId": 7, "meterStop": 1600, "timestamp": _iso(7, 15), "idTag": token}
    frames.append([2, "z", "StopTransaction", stop])
    return [("CP3_log.jsonl", b"\n".join(json.dumps(f).encode() for f in frames))]


def samples() -> dict[str, list[tuple[str, bytes]]]:
    """Names and bytes of good logs by packaged format."""
    out = {name: [(p.name, p.read_bytes()) for p in sorted(DATA.glob(glob))] for name, glob in IN_DATA.items()}
    drive = _rows(
        24, vehicle=lambda i: f"car-{i % 2}", time_utc=lambda i: _iso(i, 1), session=lambda i: f"s{i // 9}",
        state=lambda i: "drive" if i < 12 else "charge", voltage_v=lambda i: 350 + i, current_a=lambda i: -20.5 + i,
        soc_pct=lambda i: 50 + i / 2, battery_temp_c=lambda i: 20, ambient_c=lambda i: 15, power_kw=lambda i: None,
        odometer_km=lambda i: 1000 + i,
    )  # fmt: skip
    out["fadecast_samples"] = [("drive.csv", _csv(drive))]
    session = _rows(
        12, vehicle=lambda i: "car-1", session=lambda i: f"s{i}", kind=lambda i: ("plugin", "charge", "export")[i % 3],
        plug_in_utc=lambda i: _iso(24 * i), plug_out_utc=lambda i: _iso(24 * i + 8), energy_in_kwh=lambda i: 10.5,
        energy_out_kwh=lambda i: 1.0, soc_start_pct=lambda i: 40, soc_end_pct=lambda i: 60,
    )  # fmt: skip
    out["fadecast_sessions"] = [("sessions.csv", _csv(session))]
    house = _rows(24, load_series=lambda i: "h", time_utc=_iso, load_kwh=lambda i: 0.5, pv_kwh=lambda i: i / 24)
    out["fadecast_home"] = [("home.csv", _csv(house))]
    price = _rows(24, price_series=lambda i: "p", time_utc=_iso, price_eur_per_kwh=lambda i: 0.1 + i / 100)
    out["fadecast_price"] = [("price.csv", _csv(price))]
    air = _rows(24, station=lambda i: "a", time_utc=_iso, air_temp_c=lambda i: 10 + i / 10)
    out["air_temperature_long"] = [("air.csv", _csv(air))]
    out["air_temperature"] = [("air.parquet", _parquet(_rows(8760, north=lambda i: i / 876, south=lambda i: 15.0)))]
    market = _rows(24, utc=lambda i: _START + timedelta(hours=i), eur_mwh=lambda i: 50.0 + i)
    out["day_ahead"] = [("price.parquet", _parquet(market))]
    trip = _rows(
        60, t_s=float, trip=lambda i: 1 + i // 30, u_V=lambda i: 360.0 + i % 7, i_A=lambda i: -20.0 + i % 9,
        soc_pct=lambda i: 80.0 - i / 60, t_batt_C=lambda i: 20.0, t_amb_C=lambda i: 12.0,
    )  # fmt: skip
    out["bmw_i3_1hz"] = [("trips.parquet", _parquet(trip))]
    konstanz = _rows(24, utc=_iso, load_kwh=lambda i: 1.5, ev_kwh=lambda i: 0.5, pv_kwh=lambda i: 0.1)
    out["konstanz_hourly"] = [("hourly.csv", _csv(konstanz))]
    garage = _rows(
        12, session_ID=str, Garage_ID=lambda i: "G1", User_ID=lambda i: "U1-1", User_type=lambda i: "Private",
        Shared_ID=lambda i: "", Start_plugin=lambda i: f"{1 + i:02d}.11.2019 18:00",
        End_plugout=lambda i: f"{1 + i:02d}.11.2019 23:30", El_kWh=lambda i: "8,5", Duration_hours=lambda i: "5,5",
    )  # fmt: skip
    out["norway_home_charging"] = [("garage.csv", _csv(garage, ";"))]
    out["ocpp_201"], out["ocpp_21"], out["ocpp_16"] = _ocpp2(), _ocpp2(), _ocpp16()
    packaged = {f.name[:-5] for f in (files("warehouse") / "formats").iterdir() if f.name.endswith(".toml")}
    if packaged != {name for name, found in out.items() if found}:
        raise SystemExit(f"no sample of {sorted(packaged - {n for n, f in out.items() if f})}")
    return out


# One operation: (bytes, place from 0 to 1, width from 0 to 1, junk) -> bytes.
def _cut(data: bytes, at: float, width: float) -> tuple[int, int]:
    a = int(at * len(data))
    return a, min(len(data), a + 1 + int(width**3 * len(data)))


def _on_lines(change: Callable[[list[bytes], int, int, bytes], list[bytes]]) -> Callable[..., bytes]:
    def apply(data: bytes, at: float, width: float, junk: bytes) -> bytes:
        lines = data.split(b"\n")
        i, j = int(at * (len(lines) - 1)), int(width * (len(lines) - 1))
        return b"\n".join(change(lines, i, j, junk))

    return apply


def _field(lines: list[bytes], i: int, j: int, junk: bytes) -> list[bytes]:
    mark = max((b",", b";", b'"'), key=lines[i].count)
    cells = lines[i].split(mark)
    cells[j % len(cells)] = junk
    return [*lines[:i], mark.join(cells), *lines[i + 1 :]]


def _column(lines: list[bytes], i: int, j: int, junk: bytes) -> list[bytes]:
    mark = max((b",", b";"), key=lines[0].count)
    split = [line.split(mark) for line in lines]
    return [mark.join([*c[: j % len(c)], *([junk] if i % 2 else []), *c[j % len(c) + 1 :]]) for c in split]


OPERATIONS: dict[str, Callable[[bytes, float, float, bytes], bytes]] = {
    "flip": lambda d, a, w, _: d[: int(a * len(d))] + bytes([int(w * 255)]) + d[int(a * len(d)) + 1 :],
    "bit": lambda d, a, w, _: (
        d[: int(a * len(d))]
        + bytes(x ^ (1 << int(w * 7)) for x in d[int(a * len(d)) : int(a * len(d)) + 1])
        + d[int(a * len(d)) + 1 :]
    ),
    "insert": lambda d, a, _, j: d[: int(a * len(d))] + j + d[int(a * len(d)) :],
    "remove": lambda d, a, w, _: d[: _cut(d, a, w)[0]] + d[_cut(d, a, w)[1] :],
    "repeat": lambda d, a, w, _: d[: _cut(d, a, w)[1]] + d[_cut(d, a, w)[0] :],
    "overwrite": lambda d, a, _, j: d[: int(a * len(d))] + j + d[int(a * len(d)) + len(j) :],
    "truncate": lambda d, a, *_: d[: int(a * len(d))],
    "behead": lambda d, a, w, _: d[int(a * w * len(d)) :],
    "field": _on_lines(_field),
    "column": _on_lines(_column),
    "drop line": _on_lines(lambda x, i, _, __: x[:i] + x[i + 1 :]),
    "copy line": _on_lines(lambda x, i, j, _: [*x[:i], x[j], *x[i:]]),
    "swap lines": _on_lines(lambda x, i, j, _: [x[j] if k == i else x[i] if k == j else y for k, y in enumerate(x)]),
    "turn around": _on_lines(lambda x, *_: x[:1] + x[:0:-1]),
    "line ends": lambda d, a, *_: d.replace(b"\n", (b"\r\n", b"\r", b"\n\n", b"")[int(a * 3.99)]),
    "digits": lambda d, a, w, _: d.replace(b"%d" % int(a * 9), b"%d" % int(w * 9)),
    "gzip": lambda d, *_: gzip.compress(d, mtime=0),
    "zstd": lambda d, *_: pa.Codec("zstd").compress(d, asbytes=True),
    "twice": lambda d, *_: d + d,
}


@dataclass
class Trial:
    """Homes that take damaged files one by one; failures are kept in words, with the bytes when asked for."""

    folder: Path
    keep: Path | None = None
    files: int = 0
    failures: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    _specs: dict[str, FormatSpec] = field(default_factory=dict)
    _stack: Any = None
    _in_home: int = HOME_FILES

    def take(self, format_name: str, name: str, data: bytes, how: str) -> bool:
        """Take one file in and look at what it left; whether all is as it should be."""
        if self._in_home >= HOME_FILES:
            self._next_home()
        self.files += 1
        self._in_home += 1
        path = self.folder / f"{Path(name).stem}-{self.files}{Path(name).suffix}"
        path.write_bytes(data)
        if format_name not in self._specs:
            self._specs[format_name] = load_format(format_name)
        try:
            said = self._looked_at(path, self._specs[format_name])
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            said = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        if said is not None:
            self.failures.append(f"{format_name} {path.name} ({how}): {said}")
            if self.keep is not None:
                self.keep.mkdir(parents=True, exist_ok=True)
                (self.keep / f"{format_name}-{path.name}").write_bytes(data)
        path.unlink()
        return said is None

    def _looked_at(self, path: Path, spec: FormatSpec) -> str | None:
        result = intake.take_in(self.wh, path, spec)
        self.statuses[result.status] += 1
        if result.error is not None and ("\n" in result.error or "defect of Fadecast" in result.error):
            return result.error
        found = self.wh.rows(
            "SELECT rows_read, rows_loaded, rows_rejected, rows_duplicate, status FROM meta_file"
            " WHERE sha256 = ? AND format = ?",
            [result.sha256, spec.name],
        )
        if len(found) != 1:
            return f"{len(found)} rows in the ledger"
        read, *parts, _ = found[0]
        if read != sum(parts):
            return f"{read} records read, {parts} accounted for"
        for key, n in zip(("loaded", "rejected", "duplicate"), parts, strict=True):
            self.records[key] += n
        self.rows += read
        named = {row[0] for row in self.wh.rows("SELECT part_path FROM meta_part")}
        raw = self.wh.home / "raw"
        there = {p.relative_to(self.wh.home).as_posix() for p in raw.rglob("*") if p.is_file()}
        return (
            None if named == there else f"parts without ledger: {sorted(there - named)}, lost: {sorted(named - there)}"
        )

    def _next_home(self) -> None:
        self.close()
        if self.files and self.files % 1000 == 0:
            print(f"{self.files} files, {len(self.failures)} failures", file=sys.stderr, flush=True)
        home = self.folder / f"home-{self.files}"
        home.mkdir()
        write_demo_key(home, 1)
        self._stack = open_warehouse(home)
        self.wh = self._stack.__enter__()
        self._in_home = 0

    def close(self) -> None:
        """Check the home as a whole and leave it."""
        if self._stack is None:
            return
        failed = [f"{check.name}: {check.example}" for check in run_checks(self.wh) if not check.passed]
        self.failures += [f"home until file {self.files}: {said}" for said in failed]
        self._stack.__exit__(None, None, None)
        self._stack = None
        shutil.rmtree(self.wh.home)


def run(n: int, seed: int, keep: Path | None = None) -> dict[str, Any]:
    """Damage and take in ``n`` files; returns counts and failures."""
    good = samples()
    names = sorted(good)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fadecast-mutate-") as folder:
        trial = Trial(Path(folder), keep)

        def one(format_name: str, sample: float, moves: list[tuple[str, float, float, bytes]]) -> None:
            name, data = good[format_name][int(sample * len(good[format_name]))]
            for move, at, width, junk in moves:
                data = OPERATIONS[move](data, at, width, junk)
            trial.take(format_name, name, data, " + ".join(move for move, *_ in moves))

        chance = random.Random(seed)  # noqa: S311 - no secret
        operations = sorted(OPERATIONS)
        for i in range(n - n // 2):
            moves = [
                (chance.choice(operations), chance.random(), chance.random(), chance.choice(_JUNK))
                for _ in range(chance.randint(1, 4))
            ]
            one(names[i % len(names)], chance.random() * 0.999, moves)
        share = st.floats(0, 1, exclude_max=True)
        junk = st.one_of(st.binary(max_size=20), st.text(max_size=20).map(lambda t: t.encode("utf-8", "surrogatepass")))
        move = st.tuples(st.sampled_from(operations), share, share, junk)

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=n // 2,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
        )
        @hypothesis.given(st.sampled_from(names), share, st.lists(move, min_size=1, max_size=4))
        def drawn(format_name: str, sample: float, moves: list[tuple[str, float, float, bytes]]) -> None:
            one(format_name, sample, moves)

        drawn()
        trial.close()
    return {
        "files": trial.files, "formats": len(names), "failures": trial.failures, **trial.statuses,
        "records_read": trial.rows, **{f"records_{k}": v for k, v in trial.records.items()},
        "seconds": round(time.monotonic() - begun, 1), "seed": seed,
    }  # fmt: skip


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    given = parser.parse_args()
    body = run(given.n, given.seed, given.keep)
    for said in body["failures"][:20]:
        print(said, file=sys.stderr)
    print(json.dumps(body | {"failures": len(body["failures"])}))
    return 1 if body["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
