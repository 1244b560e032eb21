"""What the command says: sentences and tables to the terminal, JSON alone to standard output."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

err = Console(stderr=True)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # a file's name may hold them: each file is one line


def say(text: str) -> None:
    """One sentence to standard error, as it stands."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(body: Any) -> None:
    """JSON to standard output."""
    text = json.dumps(body, indent=1, ensure_ascii=False, default=str)
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")  # a file's name may be no UTF-8


def report_files(results: Sequence[Any], as_json: bool) -> None:
    """What became of each file taken in; ends the command with 1 when one was refused."""
    keys = ("path", "sha256", "status", "rows_read", "rows_loaded", "rows_rejected", "rows_duplicate", "error")
    rows = [{k: getattr(r, k) for k in keys} for r in results]
    if as_json:
        print_json({"files": rows})
    else:
        for r in rows:
            path = _CONTROL.sub("?", r["path"])
            if r["status"] == "refused":
                say(f"Refused {path}: {r['error']}")
            else:
                known = "known, nothing is loaded again; it was" if r["status"] == "known" else f"{r['status']};"
                say(
                    f"{path}: {known} {r['rows_read']} rows read = {r['rows_loaded']} loaded + "
                    f"{r['rows_rejected']} rejected + {r['rows_duplicate']} duplicate."
                )
        for r in results:
            if getattr(r, "note", ""):
                say(_CONTROL.sub("?", r.note))
    if any(r["status"] == "refused" for r in rows):
        raise typer.Exit(1)


def print_table(frame: Any) -> None:
    """A frame as a table to standard output."""
    table = Table(box=None)
    for c in frame.columns:
        table.add_column(c, overflow="fold", no_wrap=c.endswith("_id"))
    for row in frame.iter_rows():
        table.add_row(*["" if x is None else str(x) for x in row])
    Console().print(table)


def say_table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Texts of a file, as they stand, as a table to standard error."""
    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    err.print(table)
