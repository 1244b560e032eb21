"""One row of a fleet file: a vehicle with its home's columns beside it, checked and completed.

What a row does not say comes from the vehicle type or a stated default, and is listed in ``assumed``.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import zoneinfo
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from models.packs import VEHICLE_NUMBERS, vehicle_defaults
from models.parameters import ParameterError, load
from warehouse.keys import hash_id, id_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_S, _F, _D = pl.String(), pl.Float64(), pl.Date()

# Columns of a fleet file in the order in which a proposal writes them, and their type.
COLUMNS: dict[str, pl.DataType] = {
    "vehicle": _S,
    "alias": _S,
    "home": _S,
    "vehicle_type": _S,
    "in_service_date": _D,
    "production_month": _D,
    "market": _S,
    "contract_id": _S,
    "bms_version": _S,
    "list_price_money": _F,
    "currency": _S,
    "tariff_id": _S,
    "charger_id": _S,
    "load_series_id": _S,
    "price_series_id": _S,
    "air_series_id": _S,
    "outage_region": _S,
    "annual_load_kwh": _F,
    "pv_kwp": _F,
    "time_zone": _S,
    "odometer_km": _F,
    "odometer_date": _D,
    "cell_id": _S,
    "gross_kwh": _F,
    "usable_kwh": _F,
    "certified_kwh": _F,
    "consumption_wh_per_km": _F,
    "certified_worst_wh_per_km": _F,
    "assumed": _S,
}
REQUIRED = (
    "vehicle",
    "vehicle_type",
    "in_service_date",
    "market",
    "contract_id",
    "tariff_id",
    "charger_id",
    "time_zone",
)
# Stated defaults of what neither the row nor the vehicle type says; always listed in `assumed`.
DEFAULT_ANNUAL_LOAD_KWH = 3500.0
_RANGES = {
    "list_price_money": (1.0, 10_000_000.0),
    "annual_load_kwh": (0.0, 1_000_000.0),
    "pv_kwp": (0.0, 10_000.0),
    "odometer_km": (0.0, 3_000_000.0),
    "gross_kwh": (1.0, 1000.0),
    "usable_kwh": (1.0, 1000.0),
    "certified_kwh": (1.0, 1000.0),
    "consumption_wh_per_km": (30.0, 2000.0),
    "certified_worst_wh_per_km": (30.0, 2000.0),
}
_FIRST_YEAR, _LAST_YEAR = 2005, 2099
# Between the other names of a vehicle in column `alias`.
ALIAS_SEPARATOR = ";"
# Columns of a row that only adds a dated odometer reading.
_READING = {"vehicle", "odometer_km", "odometer_date"}
PART_SCHEMA: dict[str, pl.DataType] = {
    "vehicle_id": _S,
    "home_id": _S,
    **{name: dtype for name, dtype in COLUMNS.items() if name not in ("vehicle", "alias", "home", "assumed")},
    "alias_ids": pl.List(_S),
    "stated": pl.List(_S),
    "assumed": pl.List(_S),
    "line": pl.Int64(),
}


class BadRow(ValueError):
    """A row that is refused: reason code and sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Known:
    """Entries of the parameters that a row may name."""

    home: Path
    contracts: frozenset[str]
    tariffs: frozenset[str]
    chargers: frozenset[str]
    outages: frozenset[str]
    cells: frozenset[str]
    types: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Path) -> Known:
        """Read the packaged parameters and those of the home. Raises `ParameterError`."""

        def names(kind: str) -> frozenset[str]:
            return frozenset(load(kind, home))

        return cls(home, names("contracts"), names("tariffs"), names("chargers"), names("outages"), names("cells"))

    def defaults(self, vehicle_type: str) -> dict[str, Any]:
        """What a vehicle of a type is where a row says nothing. Raises `BadRow`."""
        if vehicle_type not in self.types:
            try:
                self.types[vehicle_type] = vehicle_defaults(vehicle_type, self.home)
            except ParameterError as error:
                raise BadRow("unknown_entry", f"column 'vehicle_type': {error}") from None
        return self.types[vehicle_type]


def parse_row(cells: Mapping[str, str | None], line: int, known: Known) -> dict[str, Any]:
    """A row of texts to a row of the fleet part (columns `PART_SCHEMA`), ids hashed.

    Raises
    ------
    BadRow
        A value is missing, unreadable or names an entry that is not there.
    """
    texts = {name: text.strip() for name, text in cells.items() if text is not None and text.strip()}
    if "vehicle" not in texts:
        raise BadRow("missing_value", "column 'vehicle' is empty")
    out: dict[str, Any] = dict.fromkeys(PART_SCHEMA)
    out["line"] = line
    out["vehicle_id"] = hash_id(known.home, texts["vehicle"])
    for name, dtype in COLUMNS.items():
        if name not in out or name == "assumed" or name not in texts:
            continue
        out[name] = _value(name, texts[name], dtype)
    aliases = [name.strip() for name in texts.get("alias", "").split(ALIAS_SEPARATOR) if name.strip()]
    out["alias_ids"] = sorted({hash_id(known.home, name) for name in aliases} - {out["vehicle_id"]})
    out["stated"] = sorted(set(texts) - {"assumed"})
    out["assumed"] = sorted(set(texts.get("assumed", "").split()))
    if (out["odometer_km"] is None) != (out["odometer_date"] is None):
        raise BadRow("missing_value", "columns 'odometer_km' and 'odometer_date' belong together; one is empty")
    if set(out["stated"]) == _READING:
        return out
    missing = [name for name in REQUIRED if name not in texts]
    if missing:
        raise BadRow("missing_value", f"column '{missing[0]}' is empty")
    _check_names(out, known)
    out["home_id"] = home_id(known.home, texts.get("home", f"of vehicle {texts['vehicle']}"))
    unknown = [name for name in out["assumed"] if name not in COLUMNS]
    if unknown:
        raise BadRow("bad_value", f"column 'assumed' names '{unknown[0]}', which is no column of a fleet file")
    return out


def is_reading(row: Mapping[str, Any]) -> bool:
    """Whether a row only adds a dated odometer reading of a vehicle."""
    return set(row["stated"]) == _READING


def home_id(home: Path, text: str) -> str:
    """Id of a home: ``h`` + 12 hexadecimal digits of its HMAC (a name may be an address)."""
    return "h" + hmac.new(id_key(home), f"home {text}".encode(), hashlib.sha256).hexdigest()[:12]


def _value(name: str, text: str, dtype: pl.DataType) -> Any:
    if dtype == _S:
        return text
    return _date(name, text) if dtype == _D else _number(name, text)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    low, high = _RANGES[name]
    if not low <= number <= high:
        raise BadRow("bad_value", f"column '{name}' must be a number from {low:g} to {high:g}")
    return number


def _date(name: str, text: str) -> date:
    text = f"{text}-01" if name == "production_month" and re.fullmatch(r"\d{4}-\d{2}", text) else text
    try:
        day = datetime.fromisoformat(text).date()
    except ValueError:
        raise BadRow("bad_value", f"column '{name}' must be a date YYYY-MM-DD") from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise BadRow("bad_value", f"column '{name}' lies outside {_FIRST_YEAR} to {_LAST_YEAR}")
    return day.replace(day=1) if name == "production_month" else day


def _check_names(out: dict[str, Any], known: Known) -> None:
    known.defaults(out["vehicle_type"])
    named = {
        "contract_id": known.contracts,
        "tariff_id": known.tariffs,
        "charger_id": known.chargers,
        "outage_region": known.outages,
        "cell_id": known.cells,
    }
    for name, entries in named.items():
        if out[name] is not None and out[name] not in entries:
            raise BadRow("unknown_entry", f"column '{name}' names no entry; there are: {', '.join(sorted(entries))}")
    if not re.fullmatch(r"[A-Z]{2}", out["market"]):
        raise BadRow("bad_value", "column 'market' must be a country of two capital letters (ISO 3166)")
    try:
        zoneinfo.ZoneInfo(out["time_zone"])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRow("bad_value", "column 'time_zone' must be an IANA name such as Europe/Oslo") from None
    if out["production_month"] is not None and out["production_month"] > out["in_service_date"]:
        raise BadRow("bad_value", "column 'production_month' lies after the in-service date")
    if out["outage_region"] is None and out["market"].lower() not in known.outages:
        raise BadRow("missing_value", "column 'outage_region' is empty and the market has no entry of its own")
    gross = out["gross_kwh"] or known.defaults(out["vehicle_type"])["gross_kwh"]
    usable = out["usable_kwh"] or known.defaults(out["vehicle_type"])["usable_kwh"]
    if usable > gross:
        raise BadRow("bad_value", "column 'usable_kwh' exceeds the gross energy")


def complete(row: Mapping[str, Any], known: Known, source: str, climate: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows of core_vehicle and core_home of a fleet row; what it does not state is filled and listed in `assumed`."""
    defaults = known.defaults(row["vehicle_type"])
    assumed = set(row["assumed"])

    def value(name: str, default: Any) -> Any:
        if row[name] is None:
            assumed.add(name)
            return default
        return row[name]

    vehicle: dict[str, Any] = {"vehicle_id": row["vehicle_id"], "vehicle_type": row["vehicle_type"]}
    vehicle["cell_id"] = value("cell_id", defaults["cell_id"])
    vehicle |= {name: value(name, defaults[name]) for name in VEHICLE_NUMBERS}
    vehicle["currency"] = value("currency", defaults["currency"])
    vehicle["production_month"] = value("production_month", row["in_service_date"].replace(day=1))
    vehicle["bms_version"] = value("bms_version", "unknown")
    vehicle |= {name: row[name] for name in ("in_service_date", "market", "contract_id", "home_id")}
    vehicle["cohort_id"] = f"{vehicle['cell_id']}.{climate}"
    vehicle["source"] = source
    home: dict[str, Any] = {name: row[name] for name in ("home_id", "market", "time_zone", "tariff_id", "charger_id")}
    home |= {name: value(name, "") for name in ("load_series_id", "price_series_id", "air_series_id")}
    home["outage_region"] = value("outage_region", row["market"].lower())
    home["annual_load_kwh"] = value("annual_load_kwh", DEFAULT_ANNUAL_LOAD_KWH)
    home["pv_kwp"] = value("pv_kwp", 0.0)
    home["source"] = source
    names = sorted(assumed)
    vehicle["assumed"] = [name for name in names if name in vehicle]
    home["assumed"] = [name for name in names if name in home]
    return vehicle, home
