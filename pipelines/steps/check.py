"""Checks: SQL rules over the tables, and the stored conformance of the kernel to PyBaMM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.settings import Settings
from pipelines.steps.quality import rules_touched
from reports.rows_fleet import RuleRow
from reports.text import plural
from warehouse import checks
from warehouse.store import Warehouse, open_warehouse


@dataclass(frozen=True)
class Checked:
    """One check: `rows` break it, `example` is one of them."""

    name: str
    why: str
    passed: bool
    rows: int
    example: str


def data_checks(wh: Warehouse) -> list[Checked]:
    """Run every SQL check; each selects the rows that break its rule."""
    return [Checked(c.name, c.why, c.rows == 0, c.rows, c.example) for c in checks.run_checks(wh)]


def conformance_check(wh: Warehouse) -> Checked:
    """Whether every stored conformance sample is within its budget."""
    bad = wh.rows("SELECT sample_id, error_pp, budget_pp FROM out_conformance WHERE NOT passed ORDER BY sample_id")
    n = wh.scalar("SELECT count(*) FROM out_conformance")
    why = f"The reduced kernel agrees with PyBaMM on capacity ({n} samples of the last night)."
    return Checked("model_conformance", why, not bad, len(bad), str(bad[0]) if bad else "")


def all_checks(settings: Settings) -> tuple[list[Checked], tuple[RuleRow, ...]]:
    """Data checks and model conformance of a home, and the rules for defects that touched rows, by source."""
    with open_warehouse(settings.home, create=False) as wh:
        return [*data_checks(wh), conformance_check(wh)], rules_touched(wh, settings.home)


def rules_lines(rules: tuple[RuleRow, ...], home: Path) -> list[str]:
    """What the rules touched, a line each, and where the examples are."""
    lines = []
    for r in rules:
        sessions = f", {plural(r.sessions, 'session')}" if r.sessions else ""
        where = f", e.g. {r.places[0].vehicle_id} {r.places[0].text}".replace("  ", " ") if r.places else ""
        lines.append(f"rule {r.rule} ({r.source}): {r.treatment or 'touched'} {plural(r.rows, 'row')}{sessions}{where}")
    page = home / "pages" / "fleet" / "data.html"
    if lines:
        lines.append(
            f"Examples of every rule: {page}#rules"
            if page.exists()
            else "The data page of the next `fadecast nightly` shows examples of every rule."
        )
    return lines
