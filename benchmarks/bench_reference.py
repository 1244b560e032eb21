"""Ten years, 60 kWh, 10 kWh exported every evening: what each member says, what the ensemble says, what others say.

Prints a table and writes ``benchmarks/out/reference.json``. Exit 1 where a median lies outside -1 to +6 pp. With
``--peer PYTHON`` (an interpreter of a virtual environment with blast-lite 1.1.1; also FADECAST_BLAST_PYTHON) its 14
models run on the same profile, about a minute of CPU.

Run: ``python benchmarks/bench_reference.py [--peer PYTHON] [--draws N]``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.settings import prepare_environment

prepare_environment()

CELLS = ("nmc811_lgm50", "lfp_prada2013", "nca_2170")
GATE_PP = (-1.0, 6.0)
HERE = Path(__file__).parent


def own(draws: int) -> list[dict[str, Any]]:
    """The members and ensembles of three chemistries."""
    from models.forecast import difference_quantiles, member_medians
    from models.laws.registry import laws_for
    from models.reference import EXPORT, YEARS, reference_fan

    rows: list[dict[str, Any]] = []
    for cell_id in CELLS:
        laws = laws_for(cell_id)
        fan, worlds = reference_fan(cell_id, laws, draws, 1)
        for m in member_medians(fan, worlds, [YEARS]):
            if m.policy_id == EXPORT:
                fade = 100 * (1 - m.soh_p50) - m.diff_p50_pp
                rows.append({"cell": cell_id, "law": m.law_id, "base_fade_pp": fade, "effect_pp": m.diff_p50_pp})
        low, median, high = (float(v) for v in difference_quantiles(fan, EXPORT, [12 * YEARS])[0])
        rows.append(
            {"cell": cell_id, "law": "ensemble", "effect_pp": median, "low_pp": low, "high_pp": high}
            | {"width_pp": high - low, "members": len(laws), "inside": GATE_PP[0] <= median <= GATE_PP[1]}
        )
    return rows


def peers(python: str, years: float) -> list[dict[str, Any]]:
    """BLAST-Lite's models on the same year, repeated, in an environment of their own."""
    from models.reference import reference_duty, reference_pack

    pack = reference_pack(CELLS[0])
    base, export = reference_duty(pack, export=False), reference_duty(pack, export=True)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.npz"
        np.savez(
            profile,
            t=3600.0 * np.arange(base.steps + 1),
            base=base.cell_soc_frac,
            export=export.cell_soc_frac,
            temp=np.append(base.temp_c, base.temp_c[-1]),
        )
        command = [python, str(HERE / "blast_reference.py"), str(profile), str(years)]
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    """Print the table and write JSON."""
    from models.reference import PUBLISHED_PP

    ask = argparse.ArgumentParser(description="The reference question of export.")
    ask.add_argument("--peer", default=os.environ.get("FADECAST_BLAST_PYTHON", ""), help="python of blast-lite's venv")
    ask.add_argument("--draws", type=int, default=2400)
    args = ask.parse_args()
    rows = own(args.draws)
    print(f"{'cell':16} {'law':22} {'base fade':>10} {'effect of export in ten years':>32}")
    for r in rows:
        if r["law"] == "ensemble":
            text = (
                f"{r['effect_pp']:+.2f} pp (80 %: {r['low_pp']:+.2f} to {r['high_pp']:+.2f}, width {r['width_pp']:.2f})"
            )
            print(f"{r['cell']:16} {'ensemble':22} {'':>10} {text}")
        else:
            print(f"{r['cell']:16} {r['law']:22} {r['base_fade_pp']:7.1f} pp {r['effect_pp']:+8.2f} pp")
    p = PUBLISHED_PP
    print(
        f"{p['models']} published models, compared beforehand: {p['low']:+.1f} to {p['high']:+.1f}, "
        f"median {p['median']:+.1f} pp"
    )
    others = peers(args.peer, 10.0) if args.peer else []
    for r in others:
        print(f"{'BLAST-Lite':16} {r['model'][:36]:36} {r['base_fade_pp']:7.1f} pp {r['effect_pp']:+8.2f} pp")
    if others:
        effects = np.array([r["effect_pp"] for r in others])
        low, median, high = np.quantile(effects, (0.1, 0.5, 0.9))
        print(
            f"{len(others)} models of BLAST-Lite in this run: {effects.min():+.2f} to {effects.max():+.2f}, median "
            f"{median:+.2f}, 80 % of them within {high - low:.2f} pp"
        )
    else:
        print("BLAST-Lite did not run: give --peer the python of a virtual environment that has blast-lite 1.1.1.")
    out = HERE / "out" / "reference.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"own": rows, "published": p, "blast_lite": others}, indent=1) + "\n", encoding="utf-8")
    inside = all(r["inside"] for r in rows if r["law"] == "ensemble")
    print(f"Every median within {GATE_PP[0]:+.0f} to {GATE_PP[1]:+.0f} pp: {'yes' if inside else 'NO'}.")
    return 0 if inside else 1


if __name__ == "__main__":
    sys.exit(main())
