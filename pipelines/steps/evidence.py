"""``fadecast evidence``: fit the laws to ageing tests, and predict and score any file of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.ageing_choice import choose
from models.ageing_entries import Fitted, fitted_of
from models.ageing_families import FitGroup, fit_families, sorted_out
from models.ageing_models import ProfileModel
from models.domain import BoolArray, FloatArray
from models.parameters import load
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps.evidence_read import TestFile, read_file
from pipelines.steps.evidence_store import KIND, provenance, store
from warehouse.disk import check_writable

_WORTH_SAYING_FRAC = 0.005
MOST_FRAC = 1.05
_POOR_PP, _LEAST_INSIDE_FRAC = 5.0, 0.62


class NoneRead(UserError):
    """Every file was refused; `datasets` as in `Scored`."""

    def __init__(self, refused: Sequence[tuple[Path, UserError]]) -> None:
        super().__init__(" ".join(str(why) for _, why in refused), min(why.exit_code for _, why in refused))
        self.datasets = [_refused(path, why) for path, why in refused]


@dataclass(frozen=True, eq=False)
class Scored:
    """What was predicted and how well.

    Parameters
    ----------
    tests
        One a test: test_id, law, n, rmse_pp, bias_pp (predicted minus seen), inside_80_frac, in_range.
    datasets
        One a file: path, tests, rows, rmse_pp (mean over tests), inside_80_frac, reversible (tests of which a share of
        the loss returns), problems and notes (sentences); tests is 0 where the file was refused.
    predictions
        test_id, row (0-based in the file), capacity_frac, low, high; the first check-ups are not among them. Before
        them `file` when several files were given; the same in `tests`.
    complete
        Whether every file could be read.
    """

    tests: list[dict[str, Any]]
    datasets: list[dict[str, Any]]
    predictions: pl.DataFrame
    complete: bool

    def lines(self) -> list[str]:
        """A table for people, then what was wrong or worth knowing."""
        wide = max([len(str(t["test_id"])) for t in self.tests] + [4])
        out = [f"{'test':{wide}s}  {'n':>4s} {'RMSE':>6s} {'bias':>6s} {'in 80 %':>7s}  range    law"]
        for t in self.tests:
            shown = [f"{t[k]:6.2f}" if t[k] is not None else "     –" for k in ("rmse_pp", "bias_pp")]
            inside = "      –" if t["inside_80_frac"] is None else f"{100 * t['inside_80_frac']:6.0f}%"
            side = "inside " if t["in_range"] else "OUTSIDE"
            out.append(f"{t['test_id']:{wide}s}  {t['n']:4d} {shown[0]} {shown[1]} {inside}  {side}  {t['law']}")
        for d in self.datasets:
            if d["rmse_pp"] is not None:
                out.append(
                    f"{d['path']}: {d['tests']} tests, mean RMSE {d['rmse_pp']:.2f} pp, "
                    f"{100 * d['inside_80_frac']:.0f} % of check-ups inside the 80 % interval."
                )
            out += [*d["notes"], *d["problems"]]
        return out


def fit(settings: Settings, files: Sequence[Path]) -> tuple[str, bool]:
    """Fit the laws to files of tests; store them under ``<home>/parameters``, provenance named.

    Returns
    -------
    tuple
        What to say, and whether every file could be read.

    Raises
    ------
    UserError
        No file can be read, or none holds tests that a law can be fitted to.
    """
    known = fitted_of(load(KIND, settings.home))
    read, refused = _read_all(files, known)
    problems = [p for f in read for p in f.problems] + [str(why) for _, why in refused]
    groups = [_group(f) for f in read]
    families, unfitted = sorted_out(groups, known)
    if families:
        check_writable(settings.home)  # a fit takes minutes
    found = fit_families(families, known)
    if not found:
        names = ", ".join(f.path.name for f in read)
        raise UserError(
            f"{names}: no law could be fitted. " + " ".join([*unfitted, *problems][:3] or ["There are no tests."]),
            1,
        )
    path = store(settings.home, found)
    packaged = {f.entry_id: f.tests for f in fitted_of(load(KIND))}
    says = [_told(f) for f, _, _ in found]
    says += [
        f"{f.entry_id}: replaces the packaged law of {packaged[f.entry_id]} tests in this home; delete its tables in "
        f"{path.stem}*.toml there to go back."
        for f, _, _ in found
        if f.entry_id in packaged
    ]
    says += [*unfitted, *problems, f"Stored in {path}; `fadecast evidence score` uses it from now on."]
    return "\n".join(says), not refused


def _told(f: Fitted) -> str:
    said = (
        f"{f.entry_id}: {f.tests} tests, {f.rmse_pp:.2f} pp on conditions left out, "
        f"{100 * f.inside_frac:.0f} % inside the 80 % interval."
    )
    if f.rmse_pp > _POOR_PP or f.inside_frac < _LEAST_INSIDE_FRAC:
        said += " It does not foretell conditions that it has not seen: look at its tests before you use it."
    return said


def _group(read: TestFile) -> FitGroup:
    source = f"Fadecast's own fit (fadecast evidence fit) to {provenance(read)}"
    return FitGroup(read.rows, read.protocol, source)


def _read_all(files: Sequence[Path], known: Sequence[Fitted]) -> tuple[list[TestFile], list[tuple[Path, UserError]]]:
    read, refused = [], []
    names = {n for f in known if isinstance(f.model, ProfileModel) for n in f.model.scaling.names}
    once: dict[Path, Path] = {}  # a file given twice is read once
    for f in files:
        once.setdefault(f.resolve(), f)
    for path in once.values():
        try:
            read.append(read_file(path, names))
        except UserError as e:
            refused.append((path, e))
    if not read:
        raise NoneRead(refused)
    return read, refused


def _refused(path: Path, why: UserError) -> dict[str, Any]:
    return {"path": path.name, "tests": 0, "rows": 0, "rmse_pp": None, "inside_80_frac": None} | {
        "reversible": [],
        "notes": [],
        "problems": [str(why)],
    }


def _names(paths: Sequence[Path]) -> list[str]:
    """What each file is called: its name, or its path where two bear the same name."""
    names = [p.name for p in paths]
    return [str(p) if names.count(p.name) > 1 else p.name for p in paths]


def score(settings: Settings, files: Sequence[Path]) -> Scored:
    """Predict every test of the files from its first check-up by the laws of the home, and score the predictions.

    Raises
    ------
    NoneRead
        No file can be read.
    """
    known = fitted_of(load(KIND, settings.home))
    read, refused = _read_all(files, known)
    tests: list[dict[str, Any]] = []
    datasets = [_refused(path, why) for path, why in refused]
    parts = []
    called = _names([f.path for f in read])
    for file, name_of_file in zip(read, called, strict=True):
        done, notes = _predict(file, known)
        own = [_test(file, done, name) for name in sorted(set(file.rows.test_id[~file.rows.first]))]
        datasets.append(_dataset(file, own, _reversible(file, done), notes) | {"path": name_of_file})
        mark = {"file": name_of_file} if len(files) > 1 else {}
        tests += [mark | t for t in own]
        frame = _predictions(file, done)
        parts.append(frame.select(pl.lit(name_of_file).alias("file"), pl.all()) if mark else frame)
    return Scored(tests, datasets, pl.concat(parts), not refused)


@dataclass(frozen=True, eq=False)
class _Done:
    """Predictions of all rows of a file, each of shape (n,); capacities as the file states them."""

    law: np.ndarray
    middle: FloatArray
    low: FloatArray
    high: FloatArray
    reversible: FloatArray
    in_range: BoolArray


def _predict(file: TestFile, known: Sequence[Fitted]) -> tuple[_Done, list[str]]:
    n = file.rows.n
    law, in_range = np.full(n, "", dtype=object), np.zeros(n, dtype=bool)
    loss, half, back = np.zeros(n), np.zeros(n), np.zeros(n)
    notes = []
    for choice in choose(file.rows, known):
        at = choice.rows
        done = choice.forecast(file.rows.take(at))
        law[at], in_range[at] = choice.law, done.in_range
        loss[at], back[at], half[at] = done.loss_frac, done.reversible_frac, choice.half_frac(done)
        notes += [f"{file.path.name}: {note}" for note in (choice.note, choice.unknown(file.rows.take(at))) if note]
    first = file.first_frac
    # No cell loses more than all; none gains more than a few per cent (lithium returning from the anode's overhang).
    left = np.maximum(1.0 - loss, 0.0)
    middle, low, high = first * left, first * np.maximum(left - half, 0.0), first * np.minimum(left + half, MOST_FRAC)
    return _Done(law, middle, low, high, first * back, in_range), list(
        dict.fromkeys(" ".join(n.split()) for n in notes)
    )


def _reversible(file: TestFile, done: _Done) -> list[dict[str, Any]]:
    """Tests with a reversible share worth saying: its most and its last, beside the fade that lasts. [pp]"""
    out = []
    rows = file.rows
    for name in sorted(set(rows.test_id)):
        at = np.flatnonzero((rows.test_id == name) & ~rows.first)
        if at.size and float(done.reversible[at].max()) >= _WORTH_SAYING_FRAC:
            last = at[np.argmax(rows.cycles[at])]
            lost = float(file.first_frac[last] - done.middle[last])
            out.append(
                {
                    "test_id": name,
                    "most_reversible_pp": 100 * float(done.reversible[at].max()),
                    "last_reversible_pp": 100 * float(done.reversible[last]),
                    "last_irreversible_pp": 100 * (lost - float(done.reversible[last])),
                }
            )
    return out


def _dataset(
    file: TestFile, tests: list[dict[str, Any]], reversible: list[dict[str, Any]], notes: list[str]
) -> dict[str, Any]:
    scored = [t for t in tests if t["n"]]
    says = [
        f"{file.path.name}: {r['test_id']}: up to {r['most_reversible_pp']:.1f} pp of the predicted loss is reversible "
        f"(lithium spread unevenly, it partly returns); at the last check-up {r['last_reversible_pp']:.1f} pp beside "
        f"{r['last_irreversible_pp']:.1f} pp that lasts."
        for r in reversible
    ]
    return {
        "path": file.path.name,
        "tests": len(tests),
        "rows": sum(t["n"] for t in scored),
        "rmse_pp": float(np.mean([t["rmse_pp"] for t in scored])) if scored else None,
        "inside_80_frac": float(np.mean([t["inside_80_frac"] for t in scored])) if scored else None,
        "reversible": reversible,
        "notes": [*notes, *says],
        "problems": list(file.problems),
    }


def _test(file: TestFile, done: _Done, name: str) -> dict[str, Any]:
    rows = file.rows
    of_test = (rows.test_id == name) & ~rows.first
    seen = rows.capacity_frac * file.first_frac
    at = of_test & np.isfinite(seen)
    n = int(at.sum())
    error = done.middle[at] - seen[at]
    inside = (seen[at] >= done.low[at]) & (seen[at] <= done.high[at])
    return {
        "test_id": name,
        "law": " + ".join(sorted(set(done.law[of_test]))),
        "n": n,
        "rmse_pp": float(100 * np.sqrt(np.mean(error**2))) if n else None,
        "bias_pp": float(100 * np.mean(error)) if n else None,
        "inside_80_frac": float(np.mean(inside)) if n else None,
        "in_range": bool(done.in_range[of_test].all()),
    }


def _predictions(file: TestFile, done: _Done) -> pl.DataFrame:
    later = ~file.rows.first
    frame = pl.DataFrame(
        {
            "test_id": pl.Series([str(t) for t in file.rows.test_id[later]], dtype=pl.String),
            "row": pl.Series(file.place[later], dtype=pl.Int64),
            "capacity_frac": done.middle[later],
            "low": done.low[later],
            "high": done.high[later],
        }
    )
    return frame.sort("test_id", "row")
