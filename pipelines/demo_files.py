"""Files of the simulated fleet: logs, surroundings, fleet file, hidden truth. The same seed gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from models.parameters import entry
from models.seeds import generator
from models.synthetic import Fleet, SimulatedCar, truth_record
from models.synthetic_world import air_frame, house_frame, price_frame

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
LOGS, TRUTH = "logs", "truth"
# Order of taking in: surroundings first, so that cohorts know their climate, then logs.
FORMATS = ("air_temperature_long", "fadecast_price", "fadecast_home", "fadecast_sessions", "fadecast_samples")
_GARBAGE = (
    "#### logger restarted ####",
    "{vehicle},not a time,,rest,xx,0.0,50.0,20.0,15.0,,100.0",
    "{vehicle},2099-13-45T00:00:00Z,,rest,390.1,0.0,50.0,20.0,15.0,,100.0",
    "{vehicle},,,",
    "{vehicle},1970-01-01T00:00:00Z,,rest,390.1,0.0,50.0,20.0,15.0,,100.0",
)


@dataclass(frozen=True)
class DemoFiles:
    """Where the simulated files are: paths by format (in the order of taking in), fleet file, truth."""

    by_format: dict[str, tuple[Path, ...]]
    fleet: Path
    truth: Path
    rows: dict[str, int]

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file the night may read."""
        return (self.fleet, *(p for paths in self.by_format.values() for p in paths))


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _csv(frame: pl.DataFrame, header: bool = True) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, datetime_format=TIME_FORMAT)
    return buffer.getvalue()


def _write(path: Path, *parts: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(parts)
    return path


def _with_garbage(frame: pl.DataFrame, seed: int, name: str) -> tuple[list[bytes], int]:
    """A log's bytes with a few lines no parser takes in between, and how many."""
    rng = generator(seed, "garbage", name)
    expected = entry("synthetic", "defects").number("unparsable_per_million") * frame.height / 1e6
    places = np.sort(rng.integers(1, frame.height, max(1, rng.poisson(expected))))
    parts, begin = [], 0
    for k, place in enumerate(places.tolist()):
        parts.append(_csv(frame.slice(begin, place - begin), header=begin == 0))
        parts.append((_GARBAGE[k % len(_GARBAGE)].format(vehicle=frame["vehicle"][place]) + "\n").encode())
        begin = place
    parts.append(_csv(frame.slice(begin), header=begin == 0))
    return parts, places.size


def fleet_frame(sims: Sequence[SimulatedCar]) -> pl.DataFrame:
    """The fleet file: one row a vehicle with its home beside it."""
    return pl.DataFrame(
        [
            {
                "vehicle": s.car.name,
                "home": s.car.name.replace("car", "home"),
                "vehicle_type": s.car.vehicle_type,
                "in_service_date": s.car.in_service_date,
                "production_month": _month_before(s.car.in_service_date),
                "market": s.car.house.market,
                "contract_id": s.car.contract_id,
                "bms_version": s.car.bms_version,
                "tariff_id": s.car.tariff_id,
                "charger_id": s.car.charger_id,
                "load_series_id": s.car.house.name,
                "price_series_id": f"demo_{s.car.house.market.lower()}",
                "air_series_id": f"demo_{s.car.climate}",
                "outage_region": s.car.outage_region,
                "annual_load_kwh": s.car.house.annual_load_kwh,
                "pv_kwp": s.car.house.pv_kwp,
                "time_zone": s.car.house.time_zone,
                "odometer_km": s.odometer_km,
                "odometer_date": s.car.first_day,
            }
            for s in sims
        ]
    )


def _month_before(day: date) -> date:
    """First day of the month before: cars stand a while before they go into service."""
    return date(day.year - 1, 12, 1) if day.month == 1 else date(day.year, day.month - 1, 1)


def write_files(folder: Path, fleet: Fleet, sims: Sequence[SimulatedCar], days: int) -> DemoFiles:
    """Write everything below a folder (a home): ``logs/*.csv``, ``truth/truth.json``."""
    logs = folder / LOGS
    hours = fleet.hours
    air = [air_frame(f"demo_{n}", hours, c) for n, c in fleet.air_c.items()]
    price = [price_frame(f"demo_{n.lower()}", hours, p) for n, p in fleet.price_money_per_kwh.items()]
    houses = {c.house.name: c.house for c in fleet.cars}
    home = [house_frame(houses[n], hours, *kwh) for n, kwh in fleet.house_kwh.items()]
    sessions = pl.concat([s.log.sessions for s in sims])
    rows = {"air": sum(f.height for f in air), "price": sum(f.height for f in price)}
    rows |= {"home": sum(f.height for f in home), "sessions": sessions.height, "samples": 0, "unparsable": 0}
    paths: dict[str, tuple[Path, ...]] = {
        "air_temperature_long": (_write(logs / "air.csv", _csv(pl.concat(air))),),
        "fadecast_price": (_write(logs / "prices.csv", _csv(pl.concat(price))),),
        "fadecast_home": (_write(logs / "houses.csv", _csv(pl.concat(home))),),
        "fadecast_sessions": (_write(logs / "sessions.csv", _csv(sessions)),),
    }
    per_file = int(entry("synthetic", "fleet").number("cars_per_file"))
    written: list[Path] = []
    for k in range(0, len(sims), per_file):
        frame = pl.concat([s.log.samples for s in sims[k : k + per_file]])
        name = f"samples_{k // per_file + 1:03d}.csv"
        parts, garbage = _with_garbage(frame, fleet.seed, name)
        written.append(_write(logs / name, *parts))
        rows["samples"] += frame.height
        rows["unparsable"] += garbage
    paths["fadecast_samples"] = tuple(written)
    fleet_path = _write(logs / "fleet.csv", _csv(fleet_frame(sims)))
    truth = {
        "seed": fleet.seed,
        "vehicles": len(sims),
        "days": days,
        "end_day": fleet.end_day.isoformat(),
        "rows": rows,
        "cars": [truth_record(s) for s in sims],
    }
    text = json.dumps(truth, indent=1) + "\n"
    return DemoFiles(paths, fleet_path, _write(folder / TRUTH / "truth.json", text.encode()), rows)


def files_of(folder: Path) -> DemoFiles | None:
    """Files written earlier, or None where some are missing."""
    logs, truth = folder / LOGS, folder / TRUTH / "truth.json"
    names = ("air.csv", "prices.csv", "houses.csv", "sessions.csv")
    samples = tuple(sorted(logs.glob("samples_*.csv")))
    if not truth.is_file() or not samples or not all((logs / n).is_file() for n in (*names, "fleet.csv")):
        return None
    paths = {f: (logs / n,) for f, n in zip(FORMATS, names, strict=False)}
    rows = {str(k): int(v) for k, v in json.loads(truth.read_text(encoding="utf-8"))["rows"].items()}
    return DemoFiles({**paths, "fadecast_samples": samples}, logs / "fleet.csv", truth, rows)
