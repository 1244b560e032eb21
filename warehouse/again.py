"""Files that an older reader took in: found by the names of their parts, and replaced when they are taken in again.

A reader whose rows changed for the same file bears a higher version (`warehouse.readers.registry`), which stands in the
names of the parts from the second on. Such a file isn't "known" when it comes again: it is read anew, and its old parts
give way in the transaction that brings the new ones. What was forgotten meanwhile stays out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from warehouse.coded import PART
from warehouse.formatspec import load_format, packaged_formats
from warehouse.parts import write_part
from warehouse.readers.registry import reader_of

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec
    from warehouse.store import Warehouse

KINDS = ("samples", "sessions")


@dataclass(frozen=True)
class Older:
    """Parts of older readers.

    Parameters
    ----------
    mine
        Those of the file that comes again: they give way.
    others
        Those of other files of the same reader: that their rows differ from the same records read now is no conflict.
    """

    mine: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def part_base(spec: FormatSpec, sha256: str) -> str:
    """Beginning of the names of a file's parts: format, content, version of the format and of its reader."""
    version = hashlib.sha256(spec.model_dump_json(exclude={"proposal", "notes", "title", "source"}).encode())
    return f"{spec.name}-{sha256[:16]}-{version.hexdigest()[:8]}{_mark(reader_of(spec.reader).version)}"


def older_parts(wh: Warehouse, spec: FormatSpec, sha256: str, known: bool) -> Older | None:
    """Parts of older readers that matter to a file on its way in; `None` when it is known and stays as it is.

    Parameters
    ----------
    known
        Whether the ledger has the file as loaded.
    """
    reader, base = reader_of(spec.reader), part_base(spec, sha256)
    mine: tuple[str, ...] = ()
    if known:
        asked = "SELECT part_id FROM meta_part WHERE sha256 = ? AND starts_with(part_id, ?) ORDER BY 1"
        mine = tuple(row[0] for row in wh.rows(asked, [sha256, f"{spec.name}-{sha256[:16]}-"]))
        mine = tuple(part_id for part_id in mine if not part_id.startswith(f"{base}-"))
        newer = any(_version(part_id) > reader.version for part_id in mine)
        if not mine or newer or not (_is_packaged(spec) or _of_older_reader(mine, base, reader.version)):
            return None
    if reader.version == 1:
        return Older(mine)
    names = [name for name, version in _readers().items() if version == (spec.reader, reader.version)]
    behind = _behind(wh, sorted({*names, spec.name}), reader.version)
    return Older(mine, tuple(part_id for part_id in behind if part_id not in mine))


def files_of_older_readers(wh: Warehouse) -> list[tuple[str, str, int]]:
    """Format, name and loaded rows of the files in the ledger that the present reader would read otherwise."""
    out: dict[tuple[str, str, str], int] = {}
    for version in sorted({version for _, version in _readers().values() if version > 1}):
        names = [name for name, (_, known) in _readers().items() if known == version]
        # A format of the user's is told by what only a reader of messages does: samples and sessions of one file.
        both = "SELECT DISTINCT format FROM meta_file f JOIN meta_part p USING (sha256) WHERE p.kind <> f.kind"
        own = [row[0] for row in wh.rows(f"{both} AND starts_with(p.part_id, f.format || '-')")]
        behind = _behind(wh, sorted({*names, *own} - ({*packaged_formats()} - {*names})), version)
        asked = (
            "SELECT f.format, f.path, f.sha256, f.rows_loaded FROM meta_file f JOIN meta_part p USING (sha256)"
            " WHERE starts_with(p.part_id, f.format || '-') AND p.part_id IN (SELECT unnest(?)) ORDER BY ALL"
        )
        out |= {row[:3]: row[3] for row in wh.rows(asked, [behind])}
    return [(name, path, rows) for (name, path, _), rows in sorted(out.items())]


def make_room(wh: Warehouse, mine: tuple[str, ...]) -> None:
    """Take parts out of the ledger, and out of the packs they lie in. Only inside a transaction; `sweep` follows."""
    ids = list(mine)
    for kind in KINDS:
        asked = "SELECT DISTINCT part_path FROM meta_part WHERE kind = ? AND part_id IN (SELECT unnest(?)) ORDER BY 1"
        for (path,) in wh.rows(asked, [kind, ids]):
            others = (
                "SELECT count(*) FROM meta_part WHERE kind = ? AND part_path = ? AND part_id NOT IN (SELECT unnest(?))"
            )
            if not wh.scalar(others, [kind, path, ids]):
                continue
            rest = pl.read_parquet(wh.home / path).filter(~pl.col(PART).is_in(ids))
            named = hashlib.sha256(f"{path} {' '.join(ids)}".encode()).hexdigest()[:16]
            place = write_part(wh, kind, f"pack-{named}", rest)
            wh.con.execute(
                "UPDATE meta_part SET part_path = ? WHERE kind = ? AND part_path = ?"
                " AND part_id NOT IN (SELECT unnest(?))",
                [place, kind, path, ids],
            )
    for table in ("meta_part", "meta_part_vehicle"):
        wh.con.execute(f"DELETE FROM {table} WHERE part_id IN (SELECT unnest(?))", [ids])  # noqa: S608 - our tables


def _mark(version: int) -> str:
    return "" if version == 1 else f"r{version}"


def _version(part_id: str) -> int:
    found = re.search(r"r(\d+)-\d+$", part_id)
    return int(found.group(1)) if found else 1


def _is_packaged(spec: FormatSpec) -> bool:
    """Whether a format is the one that came with this release: another version of it is an older release's."""
    return spec.kind in KINDS and spec.name in packaged_formats() and load_format(spec.name) == spec


def _of_older_reader(mine: tuple[str, ...], base: str, version: int) -> bool:
    """Whether parts differ from those of now by their reader alone."""
    plain = base.removesuffix(_mark(version))
    before = tuple(f"{plain}{_mark(known)}-" for known in range(1, version))
    return bool(before) and all(part_id.startswith(before) for part_id in mine)


def _behind(wh: Warehouse, formats: list[str], version: int) -> list[str]:
    """Parts of formats that a reader before a version wrote."""
    found = wh.rows(
        "SELECT p.part_id FROM meta_part p JOIN meta_file f USING (sha256) WHERE f.format IN (SELECT unnest(?))"
        " AND starts_with(p.part_id, f.format || '-') AND p.kind IN ('samples', 'sessions')"
        " AND coalesce(try_cast(regexp_extract(p.part_id, 'r(\\d+)-\\d+$', 1) AS INTEGER), 1) < ? ORDER BY 1",
        [formats, version],
    )
    return [row[0] for row in found]


def _readers() -> dict[str, tuple[str, int]]:
    """Reader, and its version, of each packaged format."""
    return {name: (reader, reader_of(reader).version) for name, reader in _reader_names().items()}


@cache
def _reader_names() -> dict[str, str]:
    return {name: load_format(name).reader for name in packaged_formats()}
