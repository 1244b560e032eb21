"""``fadecast evidence``: fit the laws to ageing tests, and predict and score any file of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.ageing import Rows
from models.ageing_choice import Choice, choose
from models.ageing_entries import Fitted, fitted_of, toml_of
from models.ageing_families import FitGroup, fit_groups
from models.ageing_models import Forecast
from models.domain import BoolArray, FloatArray
from models.parameters import load
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps.evidence_read import TestFile, read_file

KIND = "evidence"
_WORTH_SAYING_FRAC = 0.005
HEADER = """# Laws fitted to ageing tests by `fadecast evidence fit`, read by `fadecast evidence score`.
# `conditions` holds tested conditions (coordinates of the law), beside each what the law leaves: no data are copied.
"""


@dataclass(frozen=True, eq=False)
class Scored:
    """What was predicted and how well.

    Parameters
    ----------
    tests
        One a test: test_id, law, n, rmse_pp, bias_pp (predicted minus seen), inside_80_frac, in_range.
    datasets
        One a file: path, tests, rows, rmse_pp (mean over tests), inside_80_frac, problems and notes (sentences).
    predictions
        test_id, row (0-based in the file), capacity_frac, low, high; the first check-ups are not among them.
    """

    tests: list[dict[str, Any]]
    datasets: list[dict[str, Any]]
    predictions: pl.DataFrame

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


def fit(settings: Settings, files: Sequence[Path]) -> str:
    """Fit the laws to files of tests; store them under ``<home>/parameters/evidence.toml``, provenance named.

    Raises
    ------
    UserError
        No file can be read, or none holds tests that a law can be fitted to.
    """
    read, refused = _read_all(files)
    known = fitted_of(load(KIND, settings.home))
    found = fit_groups([_group(f) for f in read], known)
    if not found:
        raise UserError(
            "No law could be fitted: give at least two conditions of storage or cycling, three check-ups each.", 1
        )
    path = settings.home / "parameters" / f"{KIND}.toml"
    _write(path, found, settings.home)
    says = [
        f"{f.entry_id}: {f.tests} tests, {f.rmse_pp:.2f} pp on conditions left out, "
        f"{100 * f.inside_frac:.0f} % inside the 80 % interval."
        for f in found
    ]
    problems = [p for f in read for p in f.problems] + refused
    return "\n".join([*says, *problems, f"Stored in {path}; `fadecast evidence score` uses it from now on."])


def _group(read: TestFile) -> FitGroup:
    source = f"Fadecast's own fit (fadecast evidence fit) to {_provenance(read)}"
    return FitGroup(read.rows, read.protocol, source)


def _provenance(read: TestFile) -> str:
    cells = sorted({str(c) for c in read.rows.cell if c})
    cells_text = f" ({', '.join(cells)})" if cells else ""
    return f"{read.path.name}{cells_text}, {len(set(read.rows.test_id))} tests"


def _write(path: Path, found: Sequence[Fitted], home: Path) -> None:
    entries, new = load(KIND, home), {f.entry_id for f in found}
    kept = [f for f in fitted_of(entries) if entries[f.entry_id].file == str(path) and f.entry_id not in new]
    body = HEADER + "".join(f"\n{toml_of(f)}" for f in sorted([*kept, *found], key=lambda f: f.entry_id))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(body, encoding="utf-8")
    part.replace(path)


def _read_all(files: Sequence[Path]) -> tuple[list[TestFile], list[str]]:
    read, refused = [], []
    last: UserError | None = None
    for path in files:
        try:
            read.append(read_file(path))
        except UserError as e:
            last = e
            refused.append(str(e))
    if not read and last is not None:
        raise last
    return read, refused


def score(settings: Settings, files: Sequence[Path]) -> Scored:
    """Predict every test of the files from its first check-up by the laws of the home, and score the predictions.

    Raises
    ------
    UserError
        No file can be read.
    """
    read, refused = _read_all(files)
    known = fitted_of(load(KIND, settings.home))
    tests: list[dict[str, Any]] = []
    datasets: list[dict[str, Any]] = [
        {"path": None, "tests": 0, "rows": 0, "rmse_pp": None, "inside_80_frac": None, "notes": [], "problems": [r]}
        for r in refused
    ]
    parts = []
    for file in read:
        choices = choose(file.rows, known)
        done = [_score_choice(file, c) for c in choices]
        own = sorted((t for d in done for t in d[0]), key=lambda t: t["test_id"])
        tests += own
        parts += [d[1] for d in done]
        back = [n for d in done for n in d[2]]
        datasets.append(_dataset(file, own, choices, back))
    frame = pl.concat(parts) if parts else _predictions([], np.empty(0, np.int64), *[np.empty(0)] * 3)
    return Scored(tests, datasets, frame.sort("test_id", "row"))


def _dataset(file: TestFile, tests: list[dict[str, Any]], choices: Sequence[Choice], back: list[str]) -> dict[str, Any]:
    scored = [t for t in tests if t["n"]]
    notes = [f"{file.path.name}: {n}" for n in [*(c.note for c in choices if c.note), *back]]
    return {
        "path": file.path.name,
        "tests": len(tests),
        "rows": sum(t["n"] for t in scored),
        "rmse_pp": float(np.mean([t["rmse_pp"] for t in scored])) if scored else None,
        "inside_80_frac": float(np.mean([t["inside_80_frac"] for t in scored])) if scored else None,
        "notes": list(dict.fromkeys(notes)),
        "problems": list(file.problems),
    }


def _score_choice(file: TestFile, choice: Choice) -> tuple[list[dict[str, Any]], pl.DataFrame, list[str]]:
    rows, later = file.rows.take(choice.rows), ~file.rows.first[choice.rows]
    first_frac = file.first_frac[choice.rows]
    done: Forecast = choice.forecast(rows)
    half = choice.half_frac(done)
    middle = first_frac * (1.0 - done.loss_frac)
    low, high = first_frac * (1.0 - done.loss_frac - half), first_frac * (1.0 - done.loss_frac + half)
    middle, low, high = np.clip(middle, 0.0, None), np.clip(low, 0.0, None), np.clip(high, 0.0, None)
    seen = rows.capacity_frac * first_frac
    names = [str(t) for t in rows.test_id[later]]
    frame = _predictions(names, file.place[choice.rows][later], middle[later], low[later], high[later])
    tests = [
        _test(name, choice.law, rows, later, seen, (middle, low, high), done.in_range) for name in dict.fromkeys(names)
    ]
    back = {n: float(done.reversible_frac[rows.test_id == n].max()) for n in dict.fromkeys(names)}
    says = [
        f"{n}: up to {100 * b:.1f} pp of the predicted loss is reversible (lithium spread unevenly, it partly returns)."
        for n, b in back.items()
        if b >= _WORTH_SAYING_FRAC
    ]
    return tests, frame, says


def _test(
    name: str,
    law: str,
    rows: Rows,
    later: BoolArray,
    seen: FloatArray,
    predicted: tuple[FloatArray, FloatArray, FloatArray],
    in_range: BoolArray,
) -> dict[str, Any]:
    of_test = (rows.test_id == name) & later
    at = of_test & np.isfinite(seen)
    middle, low, high = (p[at] for p in predicted)
    n = int(at.sum())
    error = middle - seen[at]
    inside = (seen[at] >= low) & (seen[at] <= high)
    return {
        "test_id": name,
        "law": law,
        "n": n,
        "rmse_pp": float(100 * np.sqrt(np.mean(error**2))) if n else None,
        "bias_pp": float(100 * np.mean(error)) if n else None,
        "inside_80_frac": float(np.mean(inside)) if n else None,
        "in_range": bool(in_range[of_test].all()),
    }


def _predictions(
    names: list[str], row: np.ndarray, middle: FloatArray, low: FloatArray, high: FloatArray
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "test_id": pl.Series(names, dtype=pl.String),
            "row": pl.Series(row, dtype=pl.Int64),
            "capacity_frac": middle,
            "low": low,
            "high": high,
        }
    )
