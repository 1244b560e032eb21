"""A warehouse filled with made-up rows, for tests that publish pages from it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from reports.rows_fleet import FleetData


def fill(wh: Any, data: FleetData) -> None:
    """Write made-up rows into a warehouse; columns that no page reads stay null."""
    tables: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, row: Any, **more: Any) -> None:
        names = wh.registry.schema(table)
        values = {n: getattr(row, n, None) for n in names} | more
        tables.setdefault(table, []).append({n: list(x) if isinstance(x, tuple) else x for n, x in values.items()})

    for v in data.vehicles:
        add("core_vehicle", v.vehicle, source="test")
        if v.home:
            add("core_home", v.home, source="test")
        add("out_vehicle_state", v.state)
        for table, found in (
            ("out_forecast", v.forecasts),
            ("out_member", v.members),
            ("out_warranty", v.warranties),
            ("out_value", v.values),
            ("out_policy", v.settings),
        ):
            for row in found:
                add(table, row)
        for j, row in enumerate(v.readings):
            add("core_capacity_reading", row, time_utc=datetime(2025, 1, 1, j % 24), pairs=3)
        for j in range(48):
            when = datetime(2025, 3, 1 + j // 24, j % 24)
            add("core_duty_step", None, vehicle_id=v.vehicle.vehicle_id, step_utc=when, step_minutes=60,
                cell_soc_start_frac=0.4 + 0.01 * j, cell_soc_end_frac=0.41 + 0.01 * j, temp_c=float(j - 10),
                filled=j % 3, temp_modelled=j % 2 == 0)  # fmt: skip
        name = v.vehicle.vehicle_id
        for kind in ("drive", "charge", "rest") + (("export",) if v.sessions.export else ()):
            add("core_session", None, vehicle_id=name, session_id=f"{name}{kind}", kind=kind,
                start_utc=datetime(2025, 3, 1, 8), end_utc=datetime(2025, 3, 1, 9), soc_inferred=False, plugged=False,
                flags=["drive_inferred"] if kind == "drive" else [])  # fmt: skip
    singles: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("out_fit", data.fits),
        ("out_conformance", data.conformance),
        ("out_residual", data.residuals),
        ("out_claims", data.claims),
        ("out_compliance", data.compliance),
        ("out_policy_frontier", data.frontier),
        ("meta_kpi", data.kpis),
        ("meta_file", data.files),
    )
    for table, found in singles:
        for row in found:
            add(table, row, **({"sha256": f"{row.path}"} if table == "meta_file" else {}))
    add("raw_reject", None, sha256="a.csv", path="a.csv", line=17, reason="bad_number", detail="not a number")
    add(
        "out_quality",
        None,
        source="samples",
        rule="stuck_value",
        vehicle_id="v000000000001",
        rows_touched=9,
        example="x",
    )
    add("meta_part", None, part_id="p", sha256="a.csv", kind="samples", part_path="p", rows=1,
        first_utc=datetime(2024, 4, 1), last_utc=datetime(2025, 3, 31, 23, 59))  # fmt: skip
    for table in sorted(tables):
        wh.write(table, pl.DataFrame(tables[table], schema=wh.registry.schema(table), strict=False))
