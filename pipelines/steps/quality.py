"""By source and rule: how many rows and sessions were touched, what was done with them, and where to look."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from models.parameters import Entry, load
from reports.rows_fleet import Place, RuleRow
from warehouse.store import Warehouse

KIND = "log_rules"
SHOWN = 5


def rules_touched(wh: Warehouse, home: Path | None) -> tuple[RuleRow, ...]:
    """Every rule that refused, left out, repaired, merged or flagged something, rows in falling order."""
    known = load(KIND, home)
    out = [*_refused(wh, known), *_touched(wh, known)]
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
        "SELECT coalesce(format, ''), reason, count(*),"
        " list_sort(list(path || ', line ' || line || coalesce(': ' || detail, '') ORDER BY path, line, detail))[1:5]"
        " FROM raw_reject GROUP BY ALL ORDER BY 1, 2"
    )
    return [
        _row(known, source or "not known", rule, (rows, 0, 0), tuple(Place(text) for text in examples), "rejected")
        for source, rule, rows, examples in found
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
