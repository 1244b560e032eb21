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
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipelines.errors import UserError


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
    home.mkdir(parents=True, exist_ok=True)
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
