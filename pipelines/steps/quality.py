"""By source and rule: how many rows and sessions were touched, what was done with them, and where to look."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import polars as pl

from models.parameters import Entry, load
from reports.rows_fleet import Place, RuleRow
from warehouse.again import files_of_older_readers
from warehouse.formatspec import packaged_formats
from warehouse.raw import KIND_RULES, scan_part
from warehouse.store import Warehouse

KIND = "log_rules"
SHOWN = 5


def rules_touched(wh: Warehouse, home: Path | None) -> tuple[RuleRow, ...]:
    """Every rule that refused, left out, repaired, merged or flagged something, rows in falling order."""
    known = load(KIND, home)
    out = [*_refused(wh, known), *_touched(wh, known), *_waiting(wh, known), *_older(wh, known)]
    return tuple(sorted(out, key=lambda r: (-r.rows, r.source, r.rule)))


def _row(
    known: dict[str, Entry], source: str, rule: str, counts: tuple[int, int, int], places: tuple[Place, ...], done: str
) -> RuleRow:
    entry = known.get(rule)
    if entry is None:
        return RuleRow(source, rule, "", done, "", "", *counts, places)
    meaning = entry["meaning"]
    return RuleRow(
        source, rule, entry.label, done or entry.text("treatment"), meaning.value, meaning.source, *counts, places
    )


def _refused(wh: Warehouse, known: dict[str, Entry]) -> list[RuleRow]:
    found = wh.rows(
        # A refused row of a log of sessions is a session.
        "SELECT coalesce(r.format, ''), reason, count(*), count(*) FILTER (f.kind = 'sessions'), list_sort(list("
        "r.path || ', line ' || line || coalesce(': ' || detail, '') ORDER BY r.path, line, detail))[1:5]"
        " FROM raw_reject r LEFT JOIN meta_file f USING (sha256, format) GROUP BY ALL ORDER BY 1, 2"
    )
    return [
        _row(
            known, source or "not known", rule, (rows, sessions, 0), tuple(Place(text) for text in examples), "rejected"
        )
        for source, rule, rows, sessions, examples in found
    ]


def _touched(wh: Warehouse, known: dict[str, Entry]) -> list[RuleRow]:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    places: dict[tuple[str, str], list[Place]] = defaultdict(list)
    found = wh.rows(
        "SELECT source, rule, vehicle_id, rows_touched, sessions_touched, examples FROM out_quality"
        " ORDER BY source, rule, rows_touched DESC, vehicle_id"
    )
    for source, rule, vehicle_id, rows, sessions, examples in found:
        total = counts[(source, rule)]
        total[0] += rows
        total[1] += sessions or 0
        total[2] += 1
        # One place a vehicle first, so that five examples show five cars where there are as many.
        shown = places[(source, rule)]
        if len(shown) < SHOWN:
            shown.append(Place((examples or ["not noted"])[0], vehicle_id))
    for source, rule, vehicle_id, _, _, examples in found:
        shown = places[(source, rule)]
        shown += [Place(e, vehicle_id) for e in (examples or [])[1 : 1 + SHOWN - len(shown)]]
    return [
        _row(known, source, rule, (n[0], n[1], n[2]), tuple(places[(source, rule)]), "")
        for (source, rule), n in counts.items()
    ]


def _older(wh: Warehouse, known: dict[str, Entry]) -> list[RuleRow]:
    """Files that an older release took in and that this one would read otherwise."""
    files: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for source, path, rows in files_of_older_readers(wh):
        files[source].append((path, rows))
    out: list[RuleRow] = []
    for source, some in files.items():
        shown = source if source in packaged_formats() else f"{source}.toml"
        places = [Place(f"{path}: ingest it again with --format {shown}") for path, _ in some[:SHOWN]]
        out.append(_row(known, source, "older_reader", (sum(n for _, n in some), 0, 0), tuple(places), ""))
    return out


def _waiting(wh: Warehouse, known: dict[str, Entry]) -> list[RuleRow]:
    """What the intake flagged in logs of which no night has made a history yet (of vehicles not registered, too)."""
    found = wh.rows(
        "SELECT v.kind, f.format, p.part_path, list(DISTINCT v.vehicle_id) FROM meta_part_vehicle v"
        " JOIN meta_part p USING (part_id, kind) JOIN meta_file f USING (sha256)"
        " LEFT JOIN core_alias a ON a.alias_id = v.vehicle_id WHERE v.kind IN ('samples', 'sessions')"
        " AND coalesce(a.vehicle_id, v.vehicle_id) NOT IN (SELECT vehicle_id FROM meta_state WHERE subject = 'history')"
        " GROUP BY ALL ORDER BY ALL"
    )
    frames: list[pl.DataFrame] = []
    for kind, source, path, ids in found:
        flags = pl.col("flag").str.split(" ") if kind == "samples" else pl.col("flags")
        rows = scan_part(wh.home / path, kind).filter(pl.col("vehicle_id").is_in(ids))
        each = rows.select(
            "vehicle_id", pl.col(KIND_RULES[kind].time).alias("time"), "session_ref", flags.alias("rule")
        )
        each = each.filter(pl.col("rule").list.len() > 0).explode("rule").filter(pl.col("rule") != "")
        frames.append(each.with_columns(pl.lit(source).alias("source")).collect())
    if not frames:
        return []
    out: list[RuleRow] = []
    for (source, rule), rows in pl.concat(frames).group_by("source", "rule", maintain_order=True):
        named = rows.drop_nulls("session_ref").select("vehicle_id", "session_ref").n_unique()
        first = rows.sort("time", "vehicle_id").head(SHOWN)
        stamped = first.select("vehicle_id", pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).rows()
        places = tuple(Place(time, vehicle_id) for vehicle_id, time in stamped)
        counts = (rows.height, named, rows["vehicle_id"].n_unique())
        out.append(_row(known, str(source), str(rule), counts, places, ""))
    return out
