"""Where a vehicle stands by its own name: files that Fadecast wrote into the home, names of files in the ledger.

Tables know a vehicle by its keyed id alone. Its name stands in a proposed fleet file, in the logs and the hidden truth
of a demo home, perhaps in the name of a file or in a sentence about it.
"""

from __future__ import annotations

import csv
import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from warehouse.keys import MASK, hash_id, mask_vin_ends, mask_vins, tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from warehouse.store import Warehouse

# Shorter names would be found everywhere: they are looked for in whole fields only.
MIN_NAME = 5
# Ends of a VIN that others are known to use in its place.
_VIN_ENDS = (8, 7)
_TEXTS = {
    "meta_file": ("path", "error"),
    "raw_reject": ("path", "detail", "raw_text"),
    "meta_run": ("note",),
    "core_vehicle": ("source",),
    "core_home": ("source",),
}
_STATES = ("last_run.json", "night.json")
NAMES_SUBJECT = "names"
_NAMES_VERSION = "1"


def names_in_copies(home: Path, wanted: Callable[[str], bool]) -> set[str]:
    """Names of vehicles in Fadecast's own files of the home whose id is wanted."""
    found: set[str] = set()
    for path in _copies(home):
        with suppress(csv.Error), path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.DictReader(file)
            if not {"vehicle", "vehicle_type"} <= {*(rows.fieldnames or ())}:
                continue  # not a fleet file
            for row in rows:
                names = [row["vehicle"] or "", *(row.get("alias") or "").split(";")]
                found |= {name.strip() for name in names if name.strip() and wanted(hash_id(home, name))}
    return found


def ids_or_marks(home: Path, ids: Iterable[str], marks: Iterable[str] = ()) -> Callable[[str], bool]:
    """Whether an id is one of these, or of those behind these marks."""
    known, dead = set(ids), set(marks)
    return lambda vehicle_id: vehicle_id in known or (bool(dead) and tombstone(home, vehicle_id) in dead)


def needles(ids: Iterable[str], names: Iterable[str]) -> list[str]:
    """What may stand nowhere: ids, names that are long enough to be told apart, and the ends of names that are VINs."""
    out = set(ids)
    for name in names:
        if len(name) >= MIN_NAME:
            out.add(name)
        if mask_vins(name) == MASK:
            out |= {name[-n:] for n in _VIN_ENDS}
    return sorted(out, key=lambda text: (-len(text), text))


def pattern(texts: Sequence[str]) -> re.Pattern[bytes]:
    """Finds ids anywhere, and names that stand alone (``car-1`` is not in ``car-12``), whatever their case."""
    ids = [text.encode() for text in texts if is_id(text)]
    names = [re.escape(text.encode()) for text in texts if not is_id(text)]
    alone = [rb"(?<![A-Za-z0-9])(?:" + b"|".join(names) + rb")(?![A-Za-z0-9])"] if names else []
    return re.compile(b"|".join([*ids, *alone]), re.IGNORECASE)


def is_id(text: str) -> bool:
    """Whether a text is an id that Fadecast gave, not a name."""
    return re.fullmatch(r"v[0-9a-f]{12}", text) is not None


def mask_texts(wh: Warehouse, texts: list[str]) -> None:
    """Take ids and names out of the ledger's texts. Only inside a transaction."""
    said = f"(?i)(^|[^A-Za-z0-9])(?:{'|'.join(re.escape(text) for text in texts)})([^A-Za-z0-9]|$)"
    # Twice: of two that stand side by side the first takes the sign between them.
    for table, columns in (*_TEXTS.items(), *_TEXTS.items()):
        for name in columns:
            wh.con.execute(
                f"UPDATE {table} SET {name} = regexp_replace({name}, ?, ?, 'g')"  # noqa: S608 - our names
                f" WHERE regexp_matches({name}, ?)",
                [said, rf"\1{MASK}\2", said],
            )


def erase_copies(home: Path, ids: Iterable[str], names: set[str]) -> list[str]:
    """Take a vehicle's lines out of Fadecast's own files in the home; returns the names of the files changed."""
    changed: list[str] = []
    gone = set(names)
    for path in _copies(home):
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = file.readlines()
        kept = [line for line in lines if not gone & {_field(f) for f in re.split(r"[,;]", line)}]
        if len(kept) != len(lines):
            _write(path, "".join(kept))
            changed.append(path.relative_to(home).as_posix())
    truth = home / "truth" / "truth.json"
    if truth.is_file():
        body: dict[str, Any] = json.loads(truth.read_text(encoding="utf-8"))
        cars = [car for car in body.get("cars", []) if car.get("vehicle") not in gone]
        if len(cars) != len(body.get("cars", [])):
            _write(truth, json.dumps({**body, "cars": cars}, indent=1) + "\n")
            changed.append("truth/truth.json")
    said = needles(ids, names)
    for name in _STATES:
        path = home / name
        if said and path.is_file():
            text = pattern(said).sub(MASK.encode(), path.read_bytes())
            if text != path.read_bytes():
                _write(path, text.decode())
                changed.append(name)
    return changed


def mask_old_names(wh: Warehouse) -> int:
    """Mask what looks like the end of a VIN in ledgers of releases that did not; returns how many texts were changed.

    Looked at once: later releases mask at the door.
    """
    if wh.scalar("SELECT count(*) FROM meta_state WHERE subject = ? AND version = ?", [NAMES_SUBJECT, _NAMES_VERSION]):
        return 0
    done = 0
    with wh.transaction():
        for table, columns in (("meta_file", ("path", "error")), ("raw_reject", ("path", "detail", "raw_text"))):
            for name in columns:
                old = [row[0] for row in wh.rows(f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL")]  # noqa: S608
                for text in sorted(old):
                    new = mask_vin_ends(mask_vins(text))
                    if new != text:
                        wh.con.execute(f"UPDATE {table} SET {name} = ? WHERE {name} = ?", [new, text])  # noqa: S608
                        done += 1
        wh.con.execute("DELETE FROM meta_state WHERE subject = ?", [NAMES_SUBJECT])
        wh.con.execute("INSERT INTO meta_state VALUES ('fleet', ?, ?)", [NAMES_SUBJECT, _NAMES_VERSION])
    return done


def _copies(home: Path) -> Iterator[Path]:
    """Texts that Fadecast itself wrote into the home: proposed fleet files, logs of a demo."""
    yield from sorted(home.glob("fleet_*.csv"))
    if (home / "demo.json").is_file():
        yield from sorted((home / "logs").glob("*.csv"))


def _field(text: str) -> str:
    return text.strip().strip('"').strip()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    temporary.replace(path)
