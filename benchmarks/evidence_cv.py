"""How wrong the laws of ageing tests are on what they have not seen, and the shipped coefficients.

Reads the development half in ``../shared/data/ageing`` (never copied in). ``python benchmarks/evidence_cv.py`` prints
the table: conditions, temperatures, SOCs, depths, slow rates and whole kinds of protocol left out in turn, kernels of
profiles learned anew each time, and load spectra imitated by hiding depth, rates and day. ``--write`` also refits and
writes ``models/parameters/evidence.toml``, ``evidence_record.toml`` and ``evidence_heldout.toml``; ``--tests`` prints
every test; ``--family storage|cycling|profile`` does one family.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: a second thread only waits

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.ageing_crossval import RecordLine, record  # noqa: E402  the repository first, then its modules
from models.ageing_entries import Fitted, toml_of  # noqa: E402
from models.ageing_families import FitGroup, families, fitted_family, storage_for  # noqa: E402
from models.ageing_record import HeldOutSeries, held_out_toml, record_toml, series_of  # noqa: E402
from pipelines.steps.evidence_read import read_file  # noqa: E402
from pipelines.steps.evidence_store import HEADERS, provenance  # noqa: E402

FOLDER = ROOT.parent / "shared" / "data" / "ageing"
_OWN = "Fadecast's own fit (benchmarks/evidence_cv.py --write) to the development half of "
SOURCES = {
    "naumann_lfp_calendar.csv": _OWN
    + "Naumann et al. 2018, Mendeley kxh42bfgtj, doi 10.1016/j.est.2018.01.019 (CC BY 4.0)",
    "naumann_lfp_cycle.csv": _OWN
    + "Naumann et al. 2020, Mendeley 6hgyr25h8d, doi 10.1016/j.jpowsour.2019.227666 (CC BY 4.0)",
    "geslin_nca_dynamic.csv": _OWN + "Geslin et al. 2024, Nature Energy, doi 10.1038/s41560-024-01675-8 (CC BY 4.0)",
}


def show(lines: Sequence[RecordLine]) -> None:
    """Print the lines of one law."""
    print(f"\n{lines[0].law} [pp of capacity; means over tests]")
    print(
        f"  {'left out':46s} {'tests':30s} {'n':>3s} {'RMSE':>5s} {'bias':>6s} "
        f"{'in 80 %':>7s} {'score':>6s} {'flat':>6s}"
    )
    for x in lines:
        print(
            f"  {x.scheme:46s} {x.group:30s} {x.tests:3d} {x.rmse_pp:5.2f} {x.bias_pp:+6.2f} "
            f"{100 * x.inside_80_frac:6.0f}% {x.score_pp:6.2f} {x.constant_score_pp:6.2f}"
        )


def show_tests(series: Sequence[HeldOutSeries]) -> None:
    """Print every test of one law, its condition left out."""
    for s in series:
        bias = float(np.mean(s.error_pp))
        print(f"  {s.test_id:58s} {s.condition:26s} {s.rmse_pp:5.2f} {bias:+6.2f} {100 * s.inside_80_frac:4.0f}%")


def main(arguments: list[str]) -> int:
    """Print the table; with --write also store the shipped coefficients, the table and the series."""
    if not FOLDER.is_dir():
        print(f"No ageing data at {FOLDER}: nothing to fit.", file=sys.stderr)
        return 2
    only = arguments[arguments.index("--family") + 1] if "--family" in arguments else ""
    groups = []
    for name, source in SOURCES.items():
        read = read_file(FOLDER / name)
        groups.append(FitGroup(read.rows, read.protocol, f"{source}: {provenance(read)}"))
    fitted: list[Fitted] = []
    bodies: dict[str, dict[str, str]] = {kind: {} for kind in HEADERS}
    for family in sorted(families(groups), key=lambda f: (f.rows.kind[0], f.profile)):
        storage = storage_for(family.rows, [f.model for f in fitted])
        if only and only not in (family.kind, "cycling" if family.kind == "storage" else ""):
            continue
        found = record(family, storage)
        done = fitted_family(family, storage, found.first)
        fitted.append(done)
        if only and only != family.kind:
            continue
        law, series = family.entry_id, series_of(family.entry_id, found.first, family.condition, found.width)
        show(found.lines)
        if "--tests" in arguments:
            show_tests(series)
        bodies["evidence"][law] = toml_of(done)
        bodies["evidence_record"][law] = record_toml(law, found.lines, done.source)
        bodies["evidence_heldout"][law] = held_out_toml(law, series, done.source)
    if "--write" in arguments and not only:
        for kind, texts in bodies.items():
            path = ROOT / "models" / "parameters" / f"{kind}.toml"
            path.write_text(HEADERS[kind] + "".join(f"\n{texts[k]}" for k in sorted(texts)), "utf-8")
            print(f"Written: {path.relative_to(ROOT)}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
