"""A fleet file proposed from logs by a written rule, every value marked assumed.

The rule: one row a vehicle (user) that the logs name, each with a home of its own; in service since its first logged
day, produced in that month; type, market, contract, tariff, charger and house as the format's ``[proposal]`` says;
air temperature of the station taken in whose annual mean is nearest to the mean the format states.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from warehouse.fleetfile import mean_air_temp_c
from warehouse.fleetrow import COLUMNS
from warehouse.parts import scratch_folder
from warehouse.raw import KIND_RULES
from warehouse.readers.lines import RefusedFile
from warehouse.readers.registry import open_source
from warehouse.store import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from warehouse.formatspec import FormatSpec, ProposalSpec
    from warehouse.store import Warehouse


@dataclass(frozen=True)
class Proposal:
    """Where a proposed fleet file was written, for how many vehicles, and the air series chosen."""

    path: Path
    vehicles: int
    air_series_id: str


def nearest_air_series(means: dict[str, float], wanted_c: float) -> str:
    """Series whose mean is nearest to a temperature [degC]; by name among equals, empty without any.

    Examples
    --------
    >>> nearest_air_series({"b": 6.0, "a": 5.0, "c": 9.0}, 5.5)
    'a'
    """
    return min(means, key=lambda name: (abs(means[name] - wanted_c), name), default="")


def propose(wh: Warehouse, logs: Sequence[Path], spec: FormatSpec, out: Path) -> Proposal:
    """Write a fleet file for the vehicles of logs, each in service since its first day in any of them.

    Raises
    ------
    WarehouseError
        A log cannot be read as this format, none names a vehicle, or the file cannot be written.
    """
    if KIND_RULES[spec.kind].owner != "vehicle_id":
        raise WarehouseError(f"Format {spec.name} holds no vehicles but a series of kind '{spec.kind}'.")
    firsts = pl.concat([_first_times(wh, log, spec) for log in logs])
    firsts = firsts.group_by("vehicle_id").agg(pl.col("first").min()).sort("vehicle_id")
    if firsts.height == 0:
        names, verb = ", ".join(map(str, logs)), "names" if len(logs) == 1 else "name"
        raise WarehouseError(f"{names} {verb} no vehicle in a usable row; look into it with `fadecast ingest`.")
    air = nearest_air_series(mean_air_temp_c(wh), spec.proposal.mean_air_temp_c)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for vehicle, first in firsts.iter_rows():
        row = _row(spec.proposal, air) | {
            "in_service_date": first.date().isoformat(),
            "production_month": first.date().replace(day=1).isoformat(),
            "home": f"home of {vehicle}",
        }
        row = {name: value for name, value in row.items() if value != ""}
        writer.writerow({"vehicle": vehicle, **row, "assumed": " ".join(row)})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise WarehouseError(f"The proposal cannot be written to {out} ({error.strerror}).") from None
    return Proposal(out, firsts.height, air)


def _first_times(wh: Warehouse, log: Path, spec: FormatSpec) -> pl.DataFrame:
    """Vehicles as the log names them, and the time of their first usable row."""
    found: list[pl.DataFrame] = [pl.DataFrame(schema={"vehicle_id": pl.String, "first": pl.Datetime("us")})]
    try:
        reader, source = open_source(log, spec, scratch_folder(wh.home))
        try:
            for batch in reader.read(source, spec):
                for kind, rows in batch.rows.items():
                    time = KIND_RULES[kind].time
                    found.append(rows.group_by("vehicle_id").agg(pl.col(time).min().alias("first")))
        finally:
            source.close()
    except RefusedFile as error:
        raise WarehouseError(f"{log}: {error}") from None
    return pl.concat(found).group_by("vehicle_id").agg(pl.col("first").min()).sort("vehicle_id")


def _row(proposal: ProposalSpec, air: str) -> dict[str, str]:
    names = ("vehicle_type", "market", "time_zone", "contract_id", "tariff_id", "charger_id", "bms_version")
    row = {name: str(getattr(proposal, name)) for name in names}
    row |= {name: str(getattr(proposal, name)) for name in ("load_series_id", "price_series_id", "outage_region")}
    row |= {name: f"{getattr(proposal, name):g}" for name in ("annual_load_kwh", "pv_kwp")}
    return row | {"air_series_id": air}
