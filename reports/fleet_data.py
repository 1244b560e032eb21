"""Sister pages: quality of the data; the dictionary of tables and columns with ways to query them."""

from __future__ import annotations

import re

from reports import text as t
from reports.blocks import Cell, Detail, Group, Page, Row, Section, Table, plain_table
from reports.fleet import STANDINGS, files_table, footer, nav, notices
from reports.render import page_name
from reports.rows_fleet import FleetData, RuleRow, TableDoc

SHOWN = 50
STANDING_WORDS = {
    "measured": "Measured: readings of this battery",
    "inferred": "Inferred: use worked out by an energy balance",
    "prior_only": "Prior only: known by its type",
}
QUERIES = (
    (
        "Vehicles by risk, going on as today",
        "SELECT vehicle_id, breach_frac, breach_low_frac, breach_high_frac, breach_by_fade_frac,\n"
        "       breach_by_fade_low_frac, breach_by_fade_high_frac, cover_end_years\n"
        "FROM out_warranty w JOIN core_vehicle v USING (vehicle_id, contract_id)\n"
        "WHERE policy_id = 'as_driven' AND test_schedule = 'yearly'\n"
        "ORDER BY breach_frac DESC, vehicle_id LIMIT 20;",
    ),
    (
        "Extra fade of each setting after the longest horizon, paired with smart charging without export",
        "SELECT policy_id, count(*) AS vehicles, median(diff_p50_pp) AS extra_fade_pp,\n"
        "       count(*) FILTER (diff_p10_pp > 0) AS clearly_more, count(*) FILTER (diff_p90_pp < 0) AS clearly_less\n"
        "FROM out_forecast WHERE year = (SELECT max(year) FROM out_forecast)\n"
        "GROUP BY policy_id ORDER BY extra_fade_pp, policy_id;",
    ),
    (
        "How wrong each law has been",
        "SELECT cohort_id, law_id, max(heldout_rmse_pp) AS rmse_pp, min(heldout_inside_80_frac) AS inside_80,\n"
        "       max(weight) AS weight, max(readings) AS readings\n"
        "FROM out_fit GROUP BY cohort_id, law_id ORDER BY cohort_id, law_id;",
    ),
    (
        "Rows read, loaded, rejected, duplicate",
        "SELECT format, count(*) AS files, sum(rows_read)::BIGINT AS rows_read, sum(rows_loaded)::BIGINT AS loaded,\n"
        "       sum(rows_rejected)::BIGINT AS rejected, sum(rows_duplicate)::BIGINT AS duplicate\n"
        "FROM meta_file GROUP BY format ORDER BY format;",
    ),
)


def data_page(data: FleetData) -> Page:
    """Files, rows, rules, standing."""
    loaded = sum(f.rows_loaded for f in data.files)
    read = sum(f.rows_read for f in data.files)
    return Page(
        title="Data quality",
        eyebrow=f"Fleet report · data up to {t.day(data.as_of_day)}",
        headline="What was taken in, and what was not",
        lead=f"{t.number(read)} rows read, {t.number(loaded)} loaded, from {t.plural(len(data.files), 'file')}.",
        sections=(
            Section(
                "files",
                "Files",
                tables=(files_table(data),),
                paragraphs=("Always: read = loaded + rejected + duplicate. Rows read are counted independently.",),
                details=_refused(data),
            ),
            _rule_section(data),
            _charger_section(data),
            _standing_section(data),
        ),
        notices=notices(data),
        nav=nav("data.html"),
        footer=footer(data),
        wide=True,
    )


def _refused(data: FleetData) -> tuple[Detail, ...]:
    refused = [f for f in data.files if f.status == "refused"]
    if not refused:
        return ()
    body = [(f.path, f.format, f.error or "") for f in refused[:SHOWN]]
    table = plain_table("Files refused as a whole.", ("File", "Format", "Why"), body, 3)
    return (Detail(f"{t.plural(len(refused), 'file')} refused", tables=(table,), open=True),)


def _rule_section(data: FleetData) -> Section:
    """Rules that touched rows, by source: counts, and below what each means with places to look."""
    pages = {v.vehicle.vehicle_id for v in data.vehicles}
    body = tuple(
        Row(
            (
                Cell(r.title or t.words(r.rule), r.rule, f"#{_anchor(r)}"),
                Cell(r.source),
                Cell(r.treatment or t.UNKNOWN),
                Cell(t.number(r.rows)),
                Cell(t.number(r.sessions) if r.sessions else "–"),
                Cell(t.number(r.vehicles) if r.vehicles else "–"),
            )
        )
        for r in data.rules
    )
    table = Table(
        "Rules that refused, left out, repaired, merged or flagged something. Sessions are those that a log names.",
        ("Rule", "Source", "What was done", "Rows", "Sessions", "Vehicles"),
        (Group("", body),),
        text_columns=3,
    )
    return Section(
        "rules",
        "Rules and rows touched",
        tables=(table,) if body else (),
        lead="" if body else "No rule had to act.",
        paragraphs=("Rejected rows are kept in raw_reject, with file, line and reason; all others in out_quality.",)
        if body
        else (),
        details=tuple(_rule_detail(r, pages) for r in data.rules),
    )


def _anchor(r: RuleRow) -> str:
    return "rule-" + re.sub(r"[^a-z0-9]+", "-", f"{r.rule}-{r.source}".lower()).strip("-")


def _rule_detail(r: RuleRow, pages: set[str]) -> Detail:
    examples = tuple(
        Row(
            (
                Cell(p.text),
                Cell(p.vehicle_id, href=f"../driver/{page_name(p.vehicle_id)}" if p.vehicle_id in pages else ""),
            )
        )
        for p in r.places
    )
    table = Table("Where to look.", ("Time, or file and line", "Vehicle"), (Group("", examples),), text_columns=2)
    said = [r.meaning] if r.meaning else []
    return Detail(
        f"{r.title or t.words(r.rule)} · {r.source}",
        paragraphs=(*said, f"Seen in: {r.seen_in}.") if r.seen_in else tuple(said),
        tables=(table,) if examples else (),
        key=_anchor(r),
    )


def _charger_section(data: FleetData) -> Section:
    """Losses of chargers found from sessions, beside what the calculations assume."""
    body: list[tuple[str, ...]] = []
    for charger in sorted({c.charger_id for c in data.chargers}):
        mine = [c for c in data.chargers if c.charger_id == charger]
        trips = sorted(c.round_trip_frac for c in mine if c.round_trip_frac is not None)
        into = sorted(c.charge_overall_frac for c in mine if c.charge_overall_frac is not None)
        standby = sorted(c.charge_standby_kw for c in mine if c.charge_standby_kw is not None)
        body.append(
            (
                charger or t.UNKNOWN,
                t.number(len(mine)),
                t.number(sum(c.sessions_charge + c.sessions_export for c in mine)),
                _middle(into),
                _middle(trips),
                t.percent(mine[0].assumed_round_trip_frac),
                f"{t.number(1000 * standby[len(standby) // 2])} W" if standby else "not told apart",
            )
        )
    table = plain_table(
        "Energy at the meter against that at the battery, by sessions that know both: median (lowest to highest) car.",
        (
            "Charger",
            "Cars",
            "Sessions",
            "Into the battery, standby included",
            "Round trip, standby included",
            "Round trip assumed, without standby",
            "Standby while charging",
        ),
        body,
    )
    return Section(
        "chargers",
        "Chargers: losses measured",
        paragraphs=(
            "Each car's own figures and 80 % intervals stand in out_charger. Calculations use the assumed losses.",
        )
        if body
        else (),
        tables=(table,) if body else (),
        lead="" if body else "No session knows its energy at the meter and at the battery.",
    )


def _middle(values: list[float]) -> str:
    if not values:
        return t.UNKNOWN
    return f"{t.percent(values[len(values) // 2], 1)} ({t.percent_range(values[0], values[-1], 1)})"


def _standing_section(data: FleetData) -> Section:
    n = len(data.vehicles)
    body = [
        (STANDING_WORDS[k], t.number(c), t.percent(c / n) if n else t.UNKNOWN)
        for k in STANDINGS
        for c in [sum(1 for v in data.vehicles if v.state.standing == k)]
    ]
    said = [
        f"{t.plural(data.sessions, 'session')}, {t.number(data.export_sessions)} of them export,"
        f" {t.number(data.soc_inferred_sessions)} with an inferred state of charge."
    ]
    if data.unregistered:
        said.append(f"{t.plural(data.unregistered, 'vehicle')} with logs but not registered: loaded, no page.")
    return Section(
        "standing",
        "Standing of the pages",
        paragraphs=tuple(said),
        tables=(plain_table("Pages by what they rest on.", ("Standing", "Pages", "Share"), body),),
    )


def dictionary_page(tables: tuple[TableDoc, ...]) -> Page:
    """Tables and columns, made from the registry, and ways to ask them."""
    details = [
        Detail(
            f"{d.name}" + (f" · {t.plural(d.rows, 'row')}" if d.rows is not None else "") + ("" if d.served else " *"),
            tables=(
                plain_table(
                    d.name,
                    ("Column", "Type", "Unit", "Meaning"),
                    [(c.name, c.type, c.unit, c.meaning) for c in d.columns],
                    4,
                ),
            ),
        )
        for d in tables
    ]
    return Page(
        title="Tables and SQL",
        eyebrow="Fleet report",
        headline="Tables and columns, and how to ask them",
        lead="Everything on these pages stands in serving.duckdb, a copy for readers beside the pages.",
        sections=(
            Section(
                "sql",
                "Ask in SQL",
                paragraphs=(
                    "Open the file read-only, by its path in the home; open it again after a night. Prefixes: core_"
                    " cleaned facts, out_ results, meta_ ledger and runs. Units stand in names; fractions lie between 0"
                    " and 1.",
                ),
                code=("duckdb -readonly serving.duckdb",),
                details=tuple(Detail(name, code=(sql,)) for name, sql in QUERIES),
            ),
            Section(
                "tables",
                "Tables",
                paragraphs=("Tables with a star are not in serving.duckdb: hourly rows and rejected raw text.",),
                details=tuple(details),
            ),
        ),
        nav=nav("dictionary.html"),
        footer=("Fadecast · made from warehouse/columns.toml.",),
        wide=True,
    )
