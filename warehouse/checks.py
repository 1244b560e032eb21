"""Data checks: ``sql/checks/*.sql``, each selects the rows that break its rule; its first line says why."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from warehouse.keys import DEMO_FILE

if TYPE_CHECKING:
    from warehouse.store import Warehouse

_MAX_EXAMPLE = 200


@dataclass(frozen=True)
class CheckResult:
    """One check: name, why it must hold, how many rows break it and one of them in words."""

    name: str
    why: str
    rows: int
    example: str

    @property
    def passed(self) -> bool:
        """Whether no row breaks the rule."""
        return self.rows == 0


def check_names() -> tuple[str, ...]:
    """Names of all checks, sorted."""
    folder = files("warehouse") / "sql" / "checks"
    return tuple(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".sql")))


def run_checks(wh: Warehouse) -> list[CheckResult]:
    """Run every check on a warehouse (inside the current transaction, if there is one)."""
    return [*(run_check(wh, name) for name in check_names()), parts_present(wh)]


def run_check(wh: Warehouse, name: str) -> CheckResult:
    """Run one SQL check by its name; it may ask ``getvariable('demo')`` whether the home is a demo."""
    wh.con.execute("SET VARIABLE demo = ?", [(wh.home / DEMO_FILE).exists()])
    sql = (files("warehouse") / "sql" / "checks" / f"{name}.sql").read_text(encoding="utf-8")
    why, body = sql.split("\n", 1)
    cursor = wh.con.execute(body)
    columns = [column[0] for column in cursor.description or []]
    rows = cursor.fetchall()
    shown = ", ".join(f"{c} = {v}" for c, v in zip(columns, rows[0], strict=True)) if rows else ""
    return CheckResult(name, why.removeprefix("--").strip(), len(rows), shown[:_MAX_EXAMPLE])


def parts_present(wh: Warehouse) -> CheckResult:
    """The one check that looks at the disk: every part of the ledger is there with as many bytes as a file needs."""
    paths = [
        row[0] for row in wh.rows("SELECT part_path FROM meta_part WHERE part_path IS NOT NULL ORDER BY part_path")
    ]
    gone = [path for path in paths if not (wh.home / path).is_file()]
    return CheckResult(
        "parts_present", "Every raw part of the ledger is on the disk.", len(gone), gone[0] if gone else ""
    )
