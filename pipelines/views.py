"""What the command reads: policies side by side, status, tables; all from the published copy."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl

from models.parameters import ParameterError, load
from models.policies import policies as known_policies
from pipelines.errors import UserError
from pipelines.ledger import alive, now_utc, read_note
from pipelines.settings import Settings
from warehouse import export
from warehouse.disk import make_home, reason_of

_STALE = timedelta(hours=36)

_POLICY_SQL = """
SELECT p.vehicle_id, v.cohort_id, p.policy_id, p.export_kwh_per_year, p.export_hours_per_year, p.full_cycles_per_year,
       p.mean_soc_frac, p.cap, p.cap_changed_days_frac, p.outage_hours_bridged, p.unserved_drive_kwh, p.outside_frac,
       f.year AS horizon_years, f.soh_p10, f.soh_p50, f.soh_p90, f.diff_p10_pp, f.diff_p50_pp, f.diff_p90_pp,
       w.contract_id, w.test_schedule, w.breach_frac, w.breach_low_frac, w.breach_high_frac,
       w.cover_lost_by_export_years,
       x.bill_saved_money_per_year, x.value_diff_money, x.value_diff_low_money, x.value_diff_high_money,
       x.wear_money_per_kwh, p.currency, p.recommended, p.basis
FROM out_policy p
JOIN core_vehicle v USING (vehicle_id)
JOIN out_forecast f ON f.vehicle_id = p.vehicle_id AND f.policy_id = p.policy_id
  AND f.year = (SELECT max(year) FROM out_forecast)
LEFT JOIN out_warranty w ON w.vehicle_id = p.vehicle_id AND w.policy_id = p.policy_id
  AND w.contract_id = v.contract_id AND w.test_schedule = 'yearly'
LEFT JOIN out_value x ON x.vehicle_id = p.vehicle_id AND x.policy_id = p.policy_id
  AND x.year = (SELECT max(year) FROM out_value)
WHERE ($vehicle IS NULL OR p.vehicle_id = $vehicle) AND ($cohort IS NULL OR v.cohort_id = $cohort)
ORDER BY p.vehicle_id, p.policy_id
"""


def _serving(settings: Settings) -> duckdb.DuckDBPyConnection:
    path = settings.home / "serving.duckdb"
    if not path.exists():
        raise UserError(
            f"Nothing is published in {settings.home} yet: run `fadecast nightly` (or `fadecast demo`) first."
        )
    try:
        con = duckdb.connect(str(path.resolve()), read_only=True)
    except duckdb.Error as e:
        why = reason_of(e) or "it is no DuckDB database of this version"
        raise UserError(
            f"{path} cannot be read ({why}): mend that, or remove {path.resolve().parent} and run `fadecast nightly`."
        ) from None
    con.execute("SET TimeZone = 'UTC'")
    return con


def policy_table(settings: Settings, vehicle: str | None, cohort: str | None) -> pl.DataFrame:
    """One row a vehicle and policy: energy, forecast at the horizon, paired difference, warranty, value.

    Raises
    ------
    UserError
        Nothing is published, or no such vehicle or cohort.
    """
    con = _serving(settings)
    try:
        table = con.execute(_POLICY_SQL, {"vehicle": vehicle, "cohort": cohort}).pl()
        if table.is_empty():
            one = "SELECT DISTINCT cohort_id FROM core_vehicle ORDER BY 1"
            known = ", ".join(r[0] for r in con.execute(one).fetchall())
            asked = " and ".join(f"{k} '{v}'" for k, v in (("vehicle", vehicle), ("cohort", cohort)) if v)
            raise UserError(
                f"No policies for {asked or 'any vehicle'}; cohorts are: {known}; "
                "vehicle ids stand in `fadecast export core_vehicle FILE.csv`."
            )
        return table
    finally:
        con.close()


def policy_json(settings: Settings, table: pl.DataFrame) -> dict[str, Any]:
    """The same as nested JSON, with what the numbers are."""
    con = _serving(settings)
    try:
        as_of = con.execute("SELECT as_of_day FROM meta_run ORDER BY started_utc DESC, run_id DESC LIMIT 1").fetchone()
    finally:
        con.close()
    vehicles: dict[str, dict[str, Any]] = {}
    for row in table.iter_rows(named=True):
        v = vehicles.setdefault(
            row["vehicle_id"], {"vehicle_id": row["vehicle_id"], "cohort_id": row["cohort_id"], "policies": []}
        )
        v["policies"].append({k: x for k, x in row.items() if k not in ("vehicle_id", "cohort_id")})
    return {
        "as_of": str(as_of[0]) if as_of else None,
        "baseline": "no_export_smart",
        "difference": "extra fade [pp of capacity], paired worlds, 10/50/90 % quantiles; positive = more fade",
        "interval_level": 0.8,
        "vehicles": list(vehicles.values()),
    }


def policy_overview(table: pl.DataFrame) -> pl.DataFrame:
    """Medians over the vehicles of a table, for the terminal; in policy order."""
    order = {p.policy_id: i for i, p in enumerate(known_policies())}
    out = (
        table.group_by("policy_id")
        .agg(
            pl.len().alias("vehicles"),
            pl.col("export_kwh_per_year").median().round(0).alias("export kWh/a"),
            pl.col("diff_p10_pp").median().round(2).alias("extra fade low pp"),
            pl.col("diff_p50_pp").median().round(2).alias("extra fade pp"),
            pl.col("diff_p90_pp").median().round(2).alias("extra fade high pp"),
            (100 * pl.col("breach_frac").mean()).round(1).alias("breach %"),
            pl.col("bill_saved_money_per_year").median().round(0).alias("bill saved/a"),
            (100 * pl.col("cap_changed_days_frac").mean()).round(1).alias("days changed by cap %"),
        )
        .with_columns(pl.col("policy_id").replace_strict(order, default=len(order), return_dtype=pl.Int64).alias("_o"))
        .sort("_o", "policy_id")
        .drop("_o")
    )
    return out


def add_policies(settings: Settings, file: Path) -> str:
    """Check a TOML file of policies and keep it in the home; the next night computes them.

    Raises
    ------
    UserError
        The file cannot be read, or names a policy that is kept already.
    ParameterError
        An entry is wrong; names file, entry and key.
    """
    try:
        text = file.read_text(encoding="utf-8")
        names = list(tomllib.loads(text))
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{file}: cannot be read ({e}). Expected a TOML file of policies.") from None
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"{file}: not valid TOML: {e}. Mend the line it names.") from None
    target = settings.home / "parameters" / "policies.toml"
    make_home(settings.home)
    target.parent.mkdir(exist_ok=True)
    kept = target.read_text(encoding="utf-8") if target.exists() else ""
    with TemporaryDirectory(dir=target.parent, prefix=".add-") as stage:  # the home is changed by the last rename alone
        part = Path(stage) / "parameters" / target.name
        part.parent.mkdir()
        try:
            part.write_text(text, encoding="utf-8")
            load("policies", Path(stage))  # alone first: a stray key on top would slip into the last kept table
            part.write_text(_joined(kept, text, file, target), encoding="utf-8")
            known_policies(Path(stage))
        except ParameterError as e:
            raise ParameterError(str(e).replace(str(part), str(file))) from None
        part.replace(target)
    return f"{', '.join(names)} kept in {target}; the next night sets them beside the others."


def _joined(kept: str, text: str, file: Path, target: Path) -> str:
    if not kept.strip():
        return text
    try:
        twice = sorted(set(tomllib.loads(kept)) & set(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"{target}: not valid TOML: {e}. Mend or delete that file first.") from None
    if twice:
        raise UserError(
            f"{file}: {', '.join(twice)} kept already in {target}; give it another name here or delete it there first."
        )
    return f"{kept.rstrip()}\n\n{text}"


def export_table(settings: Settings, table: str, file: Path) -> str:
    """Write one table as CSV or Parquet: the published copy, or the warehouse's where the copy lacks it.

    Raises
    ------
    UserError, WarehouseError
        Unknown table or ending, nothing there yet, or the file cannot be written.
    """
    if file.suffix not in (".csv", ".parquet"):
        raise UserError(f"{file}: the ending must be .csv or .parquet.")
    frame = _served(settings, table)
    rows = export.export_table(settings.home, table, file) if frame is None else frame.height
    if frame is not None:
        export.write_table(frame, file)
    return f"{rows} rows of {table} in {file}."


def _served(settings: Settings, table: str) -> pl.DataFrame | None:
    if not (settings.home / "serving.duckdb").exists():
        return None
    con = _serving(settings)
    try:
        known = {r[0] for r in con.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        if table not in known:
            return None
        return con.execute(f'SELECT * FROM "{table}" ORDER BY ALL').pl()  # noqa: S608  checked against the list
    finally:
        con.close()


def status(settings: Settings) -> dict[str, Any]:
    """Last success, step under way, health (``good``, ``running``, ``stale``, ``failed``, ``empty``)."""
    note = read_note(settings.home)
    body: dict[str, Any] = {"home": str(settings.home), "running": None, "last_success": None, "last_run": None}
    if note is not None:
        pid = int(str(note.get("pid", 0)))
        body["running" if alive(pid) else "died"] = note
    if (settings.home / "serving.duckdb").exists():
        con = _serving(settings)
        try:
            cols = ("run_id", "started_utc", "ended_utc", "as_of_day", "status", "step", "note", "published")
            rows = con.execute(f"SELECT {', '.join(cols)} FROM meta_run ORDER BY started_utc, run_id").fetchall()  # noqa: S608
            runs = [dict(zip(cols, r, strict=True)) for r in rows]
        finally:
            con.close()
        done = [r for r in runs if r["status"] == "done"]
        body["last_success"] = done[-1] if done else None
        body["published"] = (settings.home / "current").resolve().name
    last = settings.home / "last_run.json"
    if last.exists():
        try:
            body["last_run"] = json.loads(last.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{last} is damaged: remove it, the next `fadecast nightly` writes it anew.") from None
    body["health"] = _health(body)
    return body


def _health(body: dict[str, Any]) -> str:
    if "died" in body:
        return "failed"
    if body["running"] is not None:
        return "good"
    last = body["last_run"]
    if last is None:
        return "empty"
    if last["status"] != "done":
        return "failed"
    from datetime import datetime

    age = now_utc() - datetime.fromisoformat(last["ended_utc"])
    return "stale" if age > _STALE else "good"


def status_lines(body: dict[str, Any]) -> list[str]:
    """Status in sentences an operator can act on."""
    lines = [f"health: {body['health']}"]
    if body["running"]:
        r = body["running"]
        lines.append(f"A night is at work: step {r['step']}, since {r['started_utc']} UTC (process {r['pid']}).")
    if "died" in body:
        r = body["died"]
        lines.append(
            f"A night died in step {r['step']} (started {r['started_utc']} UTC): run `fadecast nightly`, it goes on."
        )
    last = body["last_run"]
    if last is None:
        lines.append("No night has run in this home yet: run `fadecast nightly`.")
    elif last["status"] == "done":
        lines.append(f"Last night: {last['run_id']}, done at {last['ended_utc']} UTC, as of {last['as_of_day']}.")
    else:
        lines.append(f"Last night failed in step {last['step']}: {last['note']}")
    if body.get("published"):
        lines.append(f"Published: {body['published']}.")
    return lines
