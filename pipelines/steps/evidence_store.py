"""Where fitted laws of ageing tests are kept: three parameter files under the home, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.ageing_crossval import Scheme, lines_of, rival_half_frac
from models.ageing_entries import Fitted, fitted_of, toml_of
from models.ageing_families import Family
from models.ageing_fit import LeftOut
from models.ageing_record import HELD_OUT_KIND, RECORD_KIND, held_out_toml, record_toml, series_of
from models.parameters import load
from pipelines.steps.evidence_read import TestFile

KIND = "evidence"
HEADERS = {
    KIND: """# Laws fitted to ageing tests by `fadecast evidence fit`, read by `fadecast evidence score`.
# `conditions` holds tested conditions (coordinates of the law), beside each what the law leaves: no data are copied.
""",
    RECORD_KIND: """# How wrong each law of evidence.toml was on tests not seen (models/ageing_record.py reads it).
# score = mean interval score of Gneiting and Raftery (2007); constant_score = that of an interval of constant width.
""",
    HELD_OUT_KIND: """# Errors of each law when the condition of a test was left out (models/ageing_record.py reads it).
# A test: id, condition, then columns: day or full cycles, predicted minus measured loss, half-width.
""",
}


def provenance(read: TestFile) -> str:
    """What a file of tests is, without its place or a date."""
    cells = sorted({str(c) for c in read.rows.cell if c})
    cells_text = f" ({', '.join(cells)})" if cells else ""
    digest = hashlib.sha256(read.path.read_bytes()).hexdigest()
    return f"{read.path.name}{cells_text}, sha256 {digest}, {len(set(read.rows.test_id))} tests"


def store(home: Path, found: Sequence[tuple[Fitted, Family, LeftOut]]) -> Path:
    """Write laws, table and series under the home; laws fitted earlier to other cells are kept.

    Raises
    ------
    ParameterError
        The home's own file of laws cannot be read.
    """
    folder = home / "parameters"
    new = {f.entry_id for f, _, _ in found}
    laws = {f.entry_id: toml_of(f) for f in _own(home, folder / f"{KIND}.toml") if f.entry_id not in new}
    laws |= {f.entry_id: toml_of(f) for f, _, _ in found}
    tables, series = _texts(folder, RECORD_KIND), _texts(folder, HELD_OUT_KIND)
    for fitted, family, left in found:
        law, width = fitted.entry_id, fitted.model.width
        every = Scheme("each condition", family.condition, lambda rows: rows)
        lines = lines_of(law, every, left, family.condition, width, rival_half_frac(left))
        tables[law] = record_toml(law, lines, fitted.source)
        series[law] = held_out_toml(law, series_of(law, left, family.condition, width), fitted.source)
    _write(folder, KIND, laws)
    _write(folder, RECORD_KIND, tables)
    _write(folder, HELD_OUT_KIND, series)
    return folder / f"{KIND}.toml"


def _own(home: Path, path: Path) -> list[Fitted]:
    entries = load(KIND, home)
    return [f for f in fitted_of(entries) if entries[f.entry_id].file == str(path)]


def _texts(folder: Path, kind: str) -> dict[str, str]:
    """Entries of a file of the home as they stand, by law; none where there is no such file."""
    path = folder / f"{kind}.toml"
    if not path.is_file():
        return {}
    load(kind, folder.parent)  # a damaged file is said, not written anew with what is left of it
    out: dict[str, str] = {}
    for part in path.read_text(encoding="utf-8").split("\n["):
        name, mark, body = part.partition("]\n")
        if mark and not name.startswith("#"):
            out[name.lstrip("[")] = f"[{name.lstrip('[')}]\n{body.rstrip()}\n"
    return out


def _write(folder: Path, kind: str, texts: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{kind}.part"
    part.write_text(HEADERS[kind] + "".join(f"\n{texts[k]}" for k in sorted(texts)), encoding="utf-8")
    part.replace(folder / f"{kind}.toml")
