"""Leave-condition-out and leave-protocol-out errors of the laws of ageing tests, and the shipped coefficients.

Reads the development half in ``../shared/data/ageing`` (never copied in). ``python benchmarks/evidence_cv.py`` prints
the table; with ``--write`` it also refits and writes ``models/parameters/evidence.toml``. Every row of the table is
predicted by a model that has not seen its condition (kernels of profiles learned anew each time).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.ageing_entries import Fitted, toml_of  # noqa: E402  the repository first, then its modules
from models.ageing_families import FitGroup, families, fitted_family, leave_conditions_out, storage_for  # noqa: E402
from models.ageing_fit import LeftOut, fast, uneven  # noqa: E402
from models.ageing_intervals import Width, by_test, constant_half_frac, interval_score  # noqa: E402
from pipelines.steps.evidence import HEADER  # noqa: E402
from pipelines.steps.evidence_read import read_file  # noqa: E402

FOLDER = ROOT.parent / "shared" / "data" / "ageing"
_OWN = "Fadecast's own fit (benchmarks/evidence_cv.py --write) to the development half of "
SOURCES = {
    "naumann_lfp_calendar.csv": _OWN
    + "Naumann et al. 2018, Mendeley kxh42bfgtj, doi 10.1016/j.est.2018.01.019 (CC BY 4.0)",
    "naumann_lfp_cycle.csv": _OWN
    + "Naumann et al. 2020, Mendeley 6hgyr25h8d, doi 10.1016/j.jpowsour.2019.227666 (CC BY 4.0)",
    "geslin_nca_dynamic.csv": _OWN + "Geslin et al. 2024, Nature Energy, doi 10.1038/s41560-024-01675-8 (CC BY 4.0)",
}


def report(name: str, found: LeftOut, condition: np.ndarray, width: Width) -> None:
    """Print every condition left out, then groups of them."""
    rows = found.rows
    half = width.half_frac(found.sd_frac)
    rival = np.full(half.size, constant_half_frac(found.error_frac, rows.test_id))
    values = {
        "rmse": found.rmse_pp(),
        "bias": 100 * by_test(found.error_frac, rows.test_id),
        "inside": 100 * by_test(np.abs(found.error_frac) <= half, rows.test_id),
        "score": 100 * by_test(interval_score(found.error_frac, -half, half), rows.test_id),
        "rival": 100 * by_test(interval_score(found.error_frac, -rival, rival), rows.test_id),
    }
    ids, first = np.unique(rows.test_id.astype(str), return_index=True)
    print(f"\n{name}: {ids.size} tests, {np.unique(condition).size} conditions, each left out in turn [pp, %]")
    for i, test in enumerate(ids):
        label = str(condition[first[i]]) if condition[first[i]] != test else ""
        print(f"  {test:58s} {label:28s} {values['rmse'][i]:5.2f} {values['bias'][i]:6.2f} {values['inside'][i]:4.0f}")
    shallow, quick = uneven(rows)[first], fast(rows)[first]
    groups = {"all": np.ones(ids.size, dtype=bool)}
    if shallow.any() or quick.any():
        groups |= {"even, up to 1C": ~shallow & ~quick, "uneven (shallow, half charge)": shallow, "above 1C": quick}
    labels = np.array([str(condition[f]) for f in first])
    for start in ("CC", "Periodic", "Synthetic"):
        groups[start] = np.char.startswith(labels, start)
    for group, at in groups.items():
        if at.any():
            m = {k: float(v[at].mean()) for k, v in values.items()}
            print(
                f"  {group:30s} {int(at.sum()):3d} tests: mean RMSE {m['rmse']:.2f} pp, bias {m['bias']:+.2f}, "
                f"inside 80 % {m['inside']:.0f} %, score {m['score']:.2f} (constant width {m['rival']:.2f})"
            )


def main() -> int:
    """Print the table; with --write also store the shipped coefficients."""
    if not FOLDER.is_dir():
        print(f"No ageing data at {FOLDER}: nothing to fit.", file=sys.stderr)
        return 2
    groups = []
    for name, source in SOURCES.items():
        read = read_file(FOLDER / name)
        groups.append(FitGroup(read.rows, read.protocol, source))
    done: list[Fitted] = []
    for family in sorted(families(groups), key=lambda f: f.rows.kind[0]):
        storage = storage_for(family.rows, [f.model for f in done])
        found = leave_conditions_out(family, storage, relearn=True)
        done.append(fitted_family(family, storage, found))
        report(done[-1].entry_id, found, family.condition, done[-1].model.width)
    if "--write" in sys.argv[1:]:
        path = ROOT / "models" / "parameters" / "evidence.toml"
        path.write_text(HEADER + "".join(f"\n{toml_of(f)}" for f in sorted(done, key=lambda f: f.entry_id)), "utf-8")
        print(f"\nWritten: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
