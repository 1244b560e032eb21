"""One night at a time: a lock, a note of the step under way, and the run's row in meta_run.

The clock is read here and in `status` only; it never reaches a page or a table other than meta_run.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

import polars as pl

from pipelines.errors import UserError
from warehouse.disk import make_home
from warehouse.store import Warehouse


def now_utc() -> datetime:
    """The clock, without zone and to the second, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@dataclass
class RunNote:
    """``night.json``: who is at work, since when, on what."""

    path: Path
    run_id: str
    started_utc: datetime
    step: str = "start"

    def at(self, step: str) -> None:
        """Say which step is under way; written whole, so that a reader never sees half a note."""
        self.step = step
        body = {
            "pid": os.getpid(),
            "run_id": self.run_id,
            "step": step,
            "started_utc": self.started_utc.isoformat(),
            "step_since_utc": now_utc().isoformat(),
        }
        part = self.path.with_suffix(".json.part")
        part.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)


def _lock(home: Path) -> IO[str]:
    handle = (home / "night.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        note = read_note(home) or {}
        raise UserError(
            f"Another night is at work in {home} (process {note.get('pid', 'unknown')}, step "
            f"'{note.get('step', 'unknown')}'): wait for it, or stop that process and run this again.",
            1,
        ) from None
    return handle


@contextmanager
def night_lock(home: Path) -> Iterator[RunNote]:
    """Hold the night's lock; yields the note that says which step is under way.

    Raises
    ------
    UserError
        Another night holds the lock.
    """
    make_home(home)
    handle = _lock(home)
    started = now_utc()
    note = RunNote(home / "night.json", f"{started:%Y%m%dT%H%M%S}-{os.getpid()}", started)
    note.at("start")
    try:
        yield note
    finally:
        (home / "night.json").unlink(missing_ok=True)
        fcntl.flock(handle, fcntl.LOCK_UN)
        handle.close()


def read_note(home: Path) -> dict[str, object] | None:
    """The note of a night under way, or of one that died; None where there is none."""
    try:
        return json.loads((home / "night.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def alive(pid: int) -> bool:
    """Whether a process of that number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def start_run(wh: Warehouse, note: RunNote, as_of: date) -> None:
    """Row of a night in meta_run; nights that died before this one are marked so."""
    with wh.transaction():
        wh.con.execute("UPDATE meta_run SET status = 'died' WHERE status = 'running'")
        row = {"run_id": note.run_id, "started_utc": note.started_utc, "as_of_day": as_of, "status": "running"}
        rest = {"ended_utc": None, "step": "start", "note": "", "published": None}
        wh.append("meta_run", pl.DataFrame([row | rest], infer_schema_length=None))


def mark_done(wh: Warehouse, note: RunNote) -> None:
    """Say in meta_run that the night is done but for its publication, so that the published copy says so."""
    wh.con.execute(
        "UPDATE meta_run SET ended_utc = ?, status = 'done', step = 'publish' WHERE run_id = ?",
        [now_utc(), note.run_id],
    )


def end_run(wh: Warehouse, note: RunNote, as_of: date, status: str, text: str, published: str | None) -> None:
    """Close a night in meta_run, and beside it in ``last_run.json`` for `status`, which must not wait for the lock."""
    ended = now_utc()
    step = "done" if status == "done" else note.step
    wh.con.execute(
        "UPDATE meta_run SET ended_utc = ?, status = ?, step = ?, note = ?, published = ? WHERE run_id = ?",
        [ended, status, step, text, published, note.run_id],
    )
    body = {
        "run_id": note.run_id,
        "started_utc": note.started_utc.isoformat(),
        "ended_utc": ended.isoformat(),
        "as_of_day": str(as_of),
        "status": status,
        "step": step,
        "note": text,
        "published": published,
    }
    part = wh.home / "last_run.json.part"
    part.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    part.replace(wh.home / "last_run.json")


def state(wh: Warehouse, vehicle_id: str, subject: str) -> str | None:
    """Version kept in meta_state."""
    one = "SELECT version FROM meta_state WHERE vehicle_id = ? AND subject = ?"
    return wh.scalar(one, [vehicle_id, subject])


def set_state(wh: Warehouse, vehicle_id: str, subject: str, version: str) -> None:
    """Keep a version in meta_state."""
    row = pl.DataFrame([{"vehicle_id": vehicle_id, "subject": subject, "version": version}])
    wh.write("meta_state", row, "vehicle_id = ? AND subject = ?", [vehicle_id, subject])
